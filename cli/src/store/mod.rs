//! The store on the command line: where it is, how it keeps jobs, and who may own them.
//!
//! # Rules
//! - Nothing that is printed contains the address, which may hold a password. So it is parsed after the command line and not
//!   with it, because clap repeats a value that it does not understand.
//! - Arguments that need a store are refused without one, not ignored.

mod address;
mod any;
mod found;
mod leases;
mod patience;
mod reading;
mod start;
mod watched;

use std::convert::Infallible;
use std::fmt;
use std::path::Path;
use std::str::FromStr;
use std::time::Duration;

use reveille::{Builder, Durability};

pub(crate) use address::directory;
use any::AnyStore;
pub(crate) use found::{Found, about as about_replica};
use leases::Leases;
use patience::Patience;
pub(crate) use start::{IfOwned, start};
use watched::Taken;

use crate::jsonl::time;

/// The default namespace.
pub(crate) const NAMESPACE: &str = "reveille";

/// Where jobs are kept.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Store")]
pub(crate) struct StoreArgs {
    /// In front of the address, which is gone once it was taken.
    #[command(flatten)]
    origin: Origin,

    /// Where the jobs are kept. On local disk: a directory, as file:PATH, or a path that begins with / or a dot. In a Redis:
    /// redis://[user:password@]host[:port][/database], rediss://.. for TLS, or unix:///path/to/socket[?db=database]
    #[arg(long, value_name = "STORE", env = "REVEILLE_STORE", hide_env_values = true)]
    store: Option<Address>,

    /// The namespace there, apart from those of other services; on disk, a directory in that directory [default: reveille]
    #[arg(long, value_name = "NAME", requires = "store")]
    namespace: Option<String>,

    /// Give up when the store does not answer for 5 s. Without this `run` waits until it does; other commands wait only
    /// while a Redis says that it is loading its data
    #[arg(long, requires = "store")]
    fail_fast: bool,
}

/// Where the address came from, for messages about it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Origin {
    Option,
    Variable,
    /// Nobody named it: the program made it.
    Own,
}

/// How jobs are kept.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Store")]
pub(crate) struct Keeping {
    /// When to acknowledge a change [default: logged]
    #[arg(long, value_enum, value_name = "LEVEL", requires = "store")]
    durability: Option<Level>,

    /// How many replicas of a Redis must have a change before it is `replicated` [default: 1]
    #[arg(long, value_name = "N", requires = "store", value_parser = clap::value_parser!(u16).range(1..))]
    replicas: Option<u16>,

    /// How long this process keeps the jobs after a Redis last heard from it [default: 10s]. On disk it keeps them until it
    /// ends
    #[arg(long, value_name = "DELAY", requires = "store", value_parser = time::parse_delay)]
    lease: Option<Duration>,
}

/// What to do if another process owns the jobs.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Store")]
pub(crate) struct Sharing {
    /// Promise that no other process is ever started on these jobs: firing goes on while Redis is away. On disk a lock
    /// sees to it
    #[arg(long, requires = "store")]
    single_owner: bool,

    /// End with status 2 instead of waiting while another process owns the jobs
    #[arg(long, requires = "store")]
    fail_if_owned: bool,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Level {
    /// Once it is done in memory
    Memory,
    /// Once the store has it: the end of this process loses nothing
    Logged,
    /// Once it is synced to the store's disk
    Fsync,
    /// Once replicas of a Redis have it
    Replicated,
}

/// An address, kept from being printed.
#[derive(Clone)]
struct Address(String);

/// A store that was named on the command line.
#[derive(Clone, Debug)]
pub(crate) struct Named {
    store: AnyStore,
    pub(crate) namespace: String,
    origin: Origin,
    patience: Patience,
    /// Whether nothing is drawn while an engine starts.
    is_quiet: bool,
    /// The leases of an engine that was started on it.
    leases: Leases,
    /// Told of what it has taken.
    taken: Option<Taken>,
}

impl StoreArgs {
    /// The store, if one was named. Does not connect yet.
    pub(crate) fn store(
        &self,
        namespace: &str,
        keeping: Option<&Keeping>,
        sharing: Option<&Sharing>,
    ) -> Result<Option<Named>, String> {
        let Some(Address(address)) = &self.store else { return Ok(None) };
        let namespace = self.namespace.as_deref().unwrap_or(namespace);
        let replicas = keeping.and_then(|keeping| keeping.replicas);
        let store = address::store(address, namespace, replicas)
            .map_err(|error| format!("{}: {error}", self.origin))?;
        if let AnyStore::Disk(_) = &store {
            keeping.map_or(Ok(()), Keeping::fits_disk)?;
            sharing.map_or(Ok(()), Sharing::fits_disk)?;
        }
        let patience = if self.fail_fast { Patience::Short } else { Patience::WhileLoading };
        Ok(Some(Named { patience, ..Named::new(store, namespace, self.origin) }))
    }

    /// Like [`store`](Self::store), for commands that need one.
    pub(crate) fn needed(&self, keeping: Option<&Keeping>) -> Result<Named, String> {
        let missing = || "there is no store; name one with --store, or in REVEILLE_STORE".to_owned();
        self.store(NAMESPACE, keeping, None)?.ok_or_else(missing)
    }
}

impl Named {
    fn new(store: AnyStore, namespace: &str, origin: Origin) -> Self {
        Named {
            store,
            namespace: namespace.to_owned(),
            origin,
            patience: Patience::WhileLoading,
            is_quiet: false,
            leases: Leases::default(),
            taken: None,
        }
    }

    /// A store on disk in a folder that the program has made.
    pub(crate) fn own(folder: &Path, namespace: &str) -> Result<Self, String> {
        Ok(Named::new(address::on_disk(folder, namespace)?, namespace, Origin::Own))
    }

    /// Waits for the store as long as it takes, unless the user asked for `--fail-fast`.
    pub(crate) fn waiting(mut self) -> Self {
        if self.patience == Patience::WhileLoading {
            self.patience = Patience::ForEver;
        }
        self
    }

    /// Draws nothing while an engine starts on it: another process draws.
    pub(crate) fn quietly(self) -> Self {
        Named { is_quiet: true, ..self }
    }
}

impl Keeping {
    /// Refuses what a store on disk does not have, rather than ignore it.
    fn fits_disk(&self) -> Result<(), String> {
        let no_replicas = "a store on disk has no replicas";
        let refused = match (self.durability, self.replicas, self.lease) {
            (Some(Level::Replicated), ..) => {
                format!("--durability replicated: {no_replicas}; `fsync` is the most that it gives")
            }
            (_, Some(_), _) => format!("--replicas: {no_replicas}"),
            (.., Some(_)) => "--lease: a store on disk has a lock, which its process holds until it ends, \
                              however that comes; leave it out"
                .to_owned(),
            _ => return Ok(()),
        };
        Err(refused)
    }

    /// Whether what is acknowledged outlives the process.
    pub(crate) fn outlives_a_crash(&self) -> bool {
        !matches!(self.durability, Some(Level::Memory))
    }

    pub(crate) fn apply(&self, builder: Builder) -> Builder {
        let builder = match self.lease {
            Some(lease) => builder.lease(lease),
            None => builder,
        };
        match self.durability {
            None => builder,
            Some(Level::Memory) => builder.durability(Durability::Memory),
            Some(Level::Logged) => builder.durability(Durability::Logged),
            Some(Level::Fsync) => builder.durability(Durability::Fsync),
            Some(Level::Replicated) => builder.durability(Durability::Replicated),
        }
    }
}

impl Sharing {
    pub(crate) fn apply(&self, builder: Builder) -> Builder {
        builder.single_owner(self.single_owner)
    }

    /// Refuses what a store on disk sees to by itself.
    fn fits_disk(&self) -> Result<(), String> {
        if self.single_owner {
            return Err("--single-owner: a store on disk has one owner by its lock; leave it out".to_owned());
        }
        Ok(())
    }

    pub(crate) fn if_owned(&self) -> IfOwned {
        if self.fail_if_owned { IfOwned::Fail } else { IfOwned::Wait }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Origin::Option => "--store",
            Origin::Variable => "REVEILLE_STORE",
            Origin::Own => "this program",
        })
    }
}

impl clap::FromArgMatches for Origin {
    fn from_arg_matches(matches: &clap::ArgMatches) -> Result<Self, clap::Error> {
        let is_variable = matches.value_source("store") == Some(clap::parser::ValueSource::EnvVariable);
        Ok(if is_variable { Origin::Variable } else { Origin::Option })
    }

    fn update_from_arg_matches(&mut self, matches: &clap::ArgMatches) -> Result<(), clap::Error> {
        *self = Origin::from_arg_matches(matches)?;
        Ok(())
    }
}

/// It adds no argument: it looks at another.
impl clap::Args for Origin {
    fn augment_args(command: clap::Command) -> clap::Command {
        command
    }

    fn augment_args_for_update(command: clap::Command) -> clap::Command {
        command
    }
}

impl FromStr for Address {
    type Err = Infallible;

    fn from_str(address: &str) -> Result<Self, Infallible> {
        Ok(Address(address.to_owned()))
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Address(..)")
    }
}
