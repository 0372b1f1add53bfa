//! JSON Schemas of the types whose wire form is a text of their own, or is written by hand.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use crate::magic_link::{Digest, GatewayPattern, KerosRange, Title};
use crate::{Eui, Job, KerosVersion, KeyId};

/// A text with a pattern, and what it says of itself.
macro_rules! text {
    ($type:ty, $name:literal, $pattern:literal, $description:literal) => {
        impl JsonSchema for $type {
            fn schema_name() -> Cow<'static, str> {
                $name.into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({"type": "string", "pattern": $pattern, "description": $description})
            }
        }
    };
}

text!(Eui, "Eui", "^[0-9A-F]{16}$", "A gateway's EUI-64: 16 upper-case hex digits.");
text!(Digest, "Digest", "^sha256:[0-9a-f]{64}$", "`sha256:` and 64 hex digits.");
text!(
    GatewayPattern,
    "GatewayPattern",
    "^([0-9A-F]{16}|[0-9A-F]{2,15}\\*)$",
    "An EUI, or its first 2 to 15 digits and `*`."
);
text!(
    KerosRange,
    "KerosRange",
    "^[0-9.<>=,| ]{1,256}$",
    "A range of KerOS versions: `>=6.2, <7` or `5 || 6.3`."
);
text!(KerosVersion, "KerosVersion", "^[0-9].{0,63}$", "A KerOS version: it begins with its number.");
text!(Title, "Title", "^[^/].{0,1023}$", "A file's path in the bundle.");
text!(KeyId, "KeyId", "^.{1,128}$", "The name of a key.");

impl JsonSchema for Job {
    fn schema_name() -> Cow<'static, str> {
        "Job".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let digest = generator.subschema_for::<Digest>();
        json_schema!({
            "description": "What is to be done, told apart by its `kind`.",
            "oneOf": [
                {
                    "type": "object",
                    "description": "Run a JetPorch script; only for KerOS 6.",
                    "properties": {
                        "kind": {"type": "string", "const": "jetporch"},
                        "script": {"type": "string", "description": "The YAML text."},
                        "vars": {"type": "object", "additionalProperties": true, "description": "Variables of the highest precedence."},
                    },
                    "required": ["kind", "script"],
                },
                {
                    "type": "object",
                    "description": "Run the bundle of a Magic Link.",
                    "properties": {
                        "kind": {"type": "string", "const": "magic_link"},
                        "digest": digest,
                        "source": {"type": "string", "description": "Where gateways get it: `https://host[:port]/v2/name`; absent: the center's own store."},
                        "token": {"type": ["string", "null"], "description": "What opens the source to the gateways."},
                    },
                    "required": ["kind", "digest"],
                },
            ],
        })
    }
}
