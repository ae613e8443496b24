//! Payloads in a line: JSON as it is, or any bytes as base64.
//!
//! An engine takes any bytes, and a store may hold payloads of other programs. A line can only hold JSON without an end of
//! line in it.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reveille::Payload;
use serde::Serialize;
use serde_json::value::RawValue;

/// A payload as one of two fields of a line.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Written<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    payload: Option<Cow<'a, RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    payload_base64: Option<String>,
}

impl<'a> Written<'a> {
    /// For reports of fired jobs: JSON if it is JSON. Ends of line in it become spaces, which mean the same.
    pub(crate) fn to_be_shown(payload: &'a Payload) -> Self {
        let json = json(payload).and_then(|json| match on_one_line(json.get()) {
            Cow::Borrowed(_) => Some(Cow::Borrowed(json)),
            Cow::Owned(text) => RawValue::from_string(text).ok().map(Cow::Owned),
        });
        Written::json(json).unwrap_or_else(|| Written::base64(payload))
    }

    /// For export: JSON only if import reads back the same bytes.
    pub(crate) fn to_be_read(payload: &'a Payload) -> Self {
        let is_same = |json: &&RawValue| json.get().len() == payload.len() && !has_ends_of_line(json.get());
        let json = json(payload).filter(is_same).map(Cow::Borrowed);
        Written::json(json).unwrap_or_else(|| Written::base64(payload))
    }

    fn json(json: Option<Cow<'a, RawValue>>) -> Option<Self> {
        json.map(|json| Written { payload: Some(json), payload_base64: None })
    }

    fn base64(payload: &Payload) -> Self {
        Written { payload: None, payload_base64: Some(STANDARD.encode(payload.as_bytes())) }
    }
}

/// The payload of a line with JSON.
pub(crate) fn from_json(value: &RawValue) -> Payload {
    (&*on_one_line(value.get())).into()
}

/// The payload of a line with base64; `None` if it is not that.
pub(crate) fn from_base64(text: &str) -> Option<Payload> {
    STANDARD.decode(text).ok().map(Payload::from)
}

/// The payload as JSON without space around it, if it is that.
fn json(payload: &Payload) -> Option<&RawValue> {
    serde_json::from_slice(payload.as_bytes()).ok()
}

/// Between two tokens an end of line is only space, and JSON allows none within a token. Some readers take a carriage return
/// for an end of line.
fn on_one_line(json: &str) -> Cow<'_, str> {
    if has_ends_of_line(json) { json.replace(['\n', '\r'], " ").into() } else { json.into() }
}

fn has_ends_of_line(json: &str) -> bool {
    json.contains(['\n', '\r'])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(bytes: &[u8]) -> String {
        serde_json::to_string(&Written::to_be_shown(&bytes.into())).unwrap()
    }

    fn read(bytes: &[u8]) -> String {
        serde_json::to_string(&Written::to_be_read(&bytes.into())).unwrap()
    }

    #[test]
    fn json_stays_as_it_stands() {
        for json in ["null", r#"{"seats": 5e2,"a":[1.10,"é\n"]}"#, r#""text""#, "-0.0"] {
            let expected = format!(r#"{{"payload":{json}}}"#);
            assert_eq!((shown(json.as_bytes()), read(json.as_bytes())), (expected.clone(), expected));
        }
    }

    #[test]
    fn what_is_no_json_is_base64() {
        for (bytes, base64) in [(&b""[..], ""), (b"\x00\xff", "AP8="), (b"text", "dGV4dA=="), (b"{", "ew==")]
        {
            let expected = format!(r#"{{"payload_base64":"{base64}"}}"#);
            assert_eq!((shown(bytes), read(bytes)), (expected.clone(), expected));
            assert_eq!(from_base64(base64).unwrap().as_bytes(), bytes);
        }
    }

    #[test]
    fn json_that_would_not_come_back_the_same_is_shown_as_json_and_kept_as_base64() {
        for json in ["[1,\n2]", "[1,\r\n2]", " 1", "1\n"] {
            assert!(shown(json.as_bytes()).starts_with(r#"{"payload":"#), "{json:?}");
            assert!(!shown(json.as_bytes()).contains(['\n', '\r']), "{json:?}");
            assert!(read(json.as_bytes()).starts_with(r#"{"payload_base64":"#), "{json:?}");
        }
    }

    #[test]
    fn base64_is_strict() {
        for wrong in ["A", "AP8", "AP8=\n", " AP8=", "A P8=", "AP9=", "_-8=", "é"] {
            assert!(from_base64(wrong).is_none(), "{wrong:?}");
        }
    }
}
