//! The JSON forms of ids, hashes, names and runs of packs (format §5.1).

use crate::id::{BlobId, FullHash, SessionId};
use crate::pack::ObjectName;
use crate::run_set::Run;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

macro_rules! as_text {
    ($($type:ty, $parse:expr, $what:literal;)*) => { $(
        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                $parse(&text).ok_or_else(|| D::Error::custom(concat!("not ", $what)))
            }
        }
    )* };
}

as_text! {
    SessionId, SessionId::parse, "a session of 32 hex digits";
    BlobId, BlobId::parse, "an id of 64 hex digits";
    FullHash, FullHash::parse, "a hash of 64 hex digits";
    ObjectName, ObjectName::parse, "a name of session, number and hash";
}

impl Serialize for Run {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        (self.session, self.from, self.to).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Run {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let (session, from, to) = <(SessionId, u32, u32)>::deserialize(deserializer)?;
        if from >= to {
            return Err(D::Error::custom("an empty run of packs"));
        }
        Ok(Self { session, from, to })
    }
}
