//! Tests of the partition.

mod model;
