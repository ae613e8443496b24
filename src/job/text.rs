//! Names are texts: what a caller may do with a key or the name of a queue because it is one.

use std::borrow::{Borrow, Cow};
use std::fmt;
use std::str::FromStr;

use serde::de::Visitor;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{InvalidKey, InvalidQueueName, Key, QueueName};

/// All that a name has of a text. What cannot be one is refused wherever it comes from, serde included.
macro_rules! text {
    ($name:ident, $invalid:ident, $what:literal) => {
        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> Self {
                name.0.into()
            }
        }

        impl TryFrom<&str> for $name {
            type Error = $invalid;

            fn try_from(text: &str) -> Result<Self, $invalid> {
                $name::new(text)
            }
        }

        impl TryFrom<String> for $name {
            type Error = $invalid;

            fn try_from(text: String) -> Result<Self, $invalid> {
                $name::new(text)
            }
        }

        impl TryFrom<Cow<'_, str>> for $name {
            type Error = $invalid;

            fn try_from(text: Cow<'_, str>) -> Result<Self, $invalid> {
                $name::new(text)
            }
        }

        impl FromStr for $name {
            type Err = $invalid;

            fn from_str(text: &str) -> Result<Self, $invalid> {
                $name::new(text)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&self.0, f)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct Reads;

                impl Visitor<'_> for Reads {
                    type Value = $name;

                    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                        f.write_str($what)
                    }

                    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<$name, E> {
                        $name::new(text).map_err(E::custom)
                    }
                }

                deserializer.deserialize_str(Reads)
            }
        }

        equal_to_text!($name: str, &str, String);
    };
}

/// Equality with a text, from either side.
macro_rules! equal_to_text {
    ($name:ident: $($text:ty),*) => {
        $(impl PartialEq<$text> for $name {
            fn eq(&self, text: &$text) -> bool {
                self.as_str() == AsRef::<str>::as_ref(text)
            }
        }

        impl PartialEq<$name> for $text {
            fn eq(&self, name: &$name) -> bool {
                name == self
            }
        })*
    };
}

text!(Key, InvalidKey, "a key of 1 to 512 bytes");
text!(QueueName, InvalidQueueName, "the name of a queue, of 1 to 128 bytes");

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, HashMap};

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_cannot_be_a_name_is_refused_wherever_it_comes_from() {
        let long = "k".repeat(513);
        for text in ["", &long] {
            let error = Key::new(text).unwrap_err();
            assert_eq!(Key::try_from(text), Err(error));
            assert_eq!(Key::try_from(text.to_owned()), Err(error));
            assert_eq!(Key::try_from(Cow::from(text)), Err(error));
            assert_eq!(text.parse::<Key>(), Err(error));
            let read = serde_json::from_value::<Key>(text.into()).unwrap_err();
            assert_eq!(read.to_string(), error.to_string());
        }
        assert_eq!(QueueName::new("q".repeat(129)), Err(InvalidQueueName { bytes: 129 }));
        let read = serde_json::from_value::<QueueName>("".into()).unwrap_err();
        assert_eq!(read.to_string(), InvalidQueueName { bytes: 0 }.to_string());
        let read = serde_json::from_str::<QueueName>("7").unwrap_err().to_string();
        assert!(read.contains("expected the name of a queue"), "{read}");
    }

    #[test]
    fn a_map_by_name_is_asked_with_a_text() {
        let key = Key::new("order:7").unwrap();
        assert_eq!(BTreeMap::from([(key.clone(), 1)]).get("order:7"), Some(&1));
        assert_eq!(HashMap::from([(key, 1)]).get("order:7"), Some(&1));
        let queue = QueueName::new("mails").unwrap();
        assert_eq!(HashMap::from([(queue, 1)]).get("mails"), Some(&1));
    }

    proptest! {
        #[test]
        fn a_name_comes_back_from_its_text(text in ".{1,30}") {
            let key = Key::new(&text).unwrap();
            prop_assert_eq!(key.to_string().parse::<Key>(), Ok(key.clone()));
            let json = serde_json::to_string(&key).unwrap();
            prop_assert_eq!(&json, &serde_json::to_string(&text).unwrap());
            prop_assert_eq!(serde_json::from_str::<Key>(&json).unwrap(), text.clone());
            let queue = QueueName::try_from(text.as_str()).unwrap();
            prop_assert_eq!(&queue, &text);
            let json = serde_json::to_string(&queue).unwrap();
            prop_assert_eq!(serde_json::from_str::<QueueName>(&json).unwrap(), queue);
        }
    }
}
