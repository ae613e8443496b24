//! What an address names: a directory, or a Redis.
//!
//! ```text
//! file:PATH                     a directory, absolute or not
//! file:///srv/jobs              the same as a URL, which has no host
//! /srv/jobs  ./jobs  ../jobs    a path by how it begins
//! anything else                 a Redis
//! ```

use std::path::Path;

use reveille::store::{DiskConfig, DiskStore, RedisConfig, RedisStore};

use super::any::AnyStore;

/// What is to be said of a text that is neither, without showing it.
const NEITHER: &str = "; a directory is named as file:PATH, or by a path that begins with a slash or a dot";

/// The store at an address, in a namespace. Does not open it yet.
pub(super) fn store(address: &str, namespace: &str, replicas: Option<u16>) -> Result<AnyStore, String> {
    match directory(address)? {
        Some(path) => on_disk(path, namespace),
        None => in_redis(address, namespace, replicas),
    }
}

/// The store in a directory below this one, with the name of the namespace.
pub(super) fn on_disk(path: &Path, namespace: &str) -> Result<AnyStore, String> {
    let config = DiskConfig::new(path).namespace(namespace).map_err(|error| error.to_string())?;
    Ok(AnyStore::Disk(DiskStore::new(config)))
}

fn in_redis(address: &str, namespace: &str, replicas: Option<u16>) -> Result<AnyStore, String> {
    let neither = if address.contains("://") { "" } else { NEITHER };
    let config = RedisConfig::new(address).map_err(|error| format!("{error}{neither}"))?;
    let config = config.namespace(namespace).map_err(|error| error.to_string())?;
    let config = match replicas {
        Some(replicas) => config.replicas(replicas),
        None => config,
    };
    Ok(AnyStore::Redis(RedisStore::new(config)))
}

/// The directory that an address names, if it names one.
pub(crate) fn directory(address: &str) -> Result<Option<&Path>, String> {
    let path = match address.strip_prefix("file:") {
        None if address.starts_with(['/', '.']) => address,
        None => return Ok(None),
        Some(path) => match path.strip_prefix("//") {
            None => path,
            // A host would stand between the second slash and the third.
            Some(path) if path.starts_with('/') => path,
            Some(_) => {
                return Err("after file:// comes a third slash, and no host; write file:PATH".to_owned());
            }
        },
    };
    if path.is_empty() {
        return Err("after file: comes the path of a directory".to_owned());
    }
    Ok(Some(Path::new(path)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_is_told_from_a_redis() {
        let named = |address| directory(address).map(|path| path.map(|path| path.to_str().unwrap()));
        for (address, path) in [
            ("file:jobs", "jobs"),
            ("file:/srv/jobs", "/srv/jobs"),
            ("file:///srv/jobs", "/srv/jobs"),
            ("file:../a b", "../a b"),
            ("/srv/jobs", "/srv/jobs"),
            ("./jobs", "./jobs"),
            ("../jobs", "../jobs"),
            (".", "."),
        ] {
            assert_eq!(named(address), Ok(Some(path)), "{address}");
        }
        for address in ["redis://host", "rediss://host", "unix:///run/redis.sock", "jobs", "~/jobs", ""] {
            assert_eq!(named(address), Ok(None), "{address}");
        }
        for address in ["file:", "file://", "file://host/jobs", "file://jobs"] {
            assert!(named(address).is_err(), "{address}");
        }
    }

    #[test]
    fn what_is_neither_is_not_shown() {
        let refused = |address| store(address, "ns", None).unwrap_err();
        assert!(refused("hunter2").contains("file:PATH") && !refused("hunter2").contains("hunter2"));
        assert!(!refused("http://hunter2@host").contains("file:PATH"));
    }

    #[test]
    fn a_namespace_is_a_directory() {
        let AnyStore::Disk(store) = store("file:/srv/jobs", "shop", None).unwrap() else { panic!("no disk") };
        assert_eq!(store.path(), Path::new("/srv/jobs/shop"));
        assert!(super::store("file:/srv/jobs", "../shop", None).is_err());
    }
}
