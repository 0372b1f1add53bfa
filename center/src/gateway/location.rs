//! Where a gateway stands, as an operator says it: in degrees, as maps have it.

use std::fmt;
use std::str::FromStr;

use keros_protocol::limits::shorten;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A place.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Location {
    /// Degrees north of the equator, -90 to 90.
    pub(crate) latitude: f64,
    /// Degrees east of Greenwich, -180 to 180.
    pub(crate) longitude: f64,
}

/// Read again, it is the same place.
impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, {}", self.latitude, self.longitude)
    }
}

impl FromStr for Location {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let degrees = |text: &str, most: f64| {
            text.trim().parse().ok().filter(|degrees: &f64| (-most..=most).contains(degrees))
        };
        let (latitude, longitude) = text.split_once(',').unwrap_or((text, ""));
        match (degrees(latitude, 90.0), degrees(longitude, 180.0)) {
            (Some(latitude), Some(longitude)) => Ok(Self { latitude, longitude }),
            _ => Err(format!(
                "{:?} is no location: write latitude and longitude in degrees, with a comma between, like 60.1699, 24.9384",
                shorten(text, 100)
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_location_is_read_as_maps_write_it_and_written_so_that_it_is_read_the_same() {
        for (text, latitude, longitude) in [
            ("60.1699, 24.9384", 60.1699, 24.9384),
            ("-33.8568,151.2153", -33.8568, 151.2153),
            (" 90 , -180 ", 90.0, -180.0),
            ("0,0", 0.0, 0.0),
        ] {
            let location: Location = text.parse().unwrap();
            assert_eq!(location, Location { latitude, longitude }, "{text}");
            assert_eq!(location.to_string().parse(), Ok(location));
        }
    }

    #[test]
    fn what_is_no_place_on_earth_is_refused_with_what_to_write() {
        for text in [
            "",
            "60.1",
            "60.1,",
            "90.1, 0",
            "0, 180.1",
            "NaN, 0",
            "inf, 0",
            "0, 0, 0",
            "60°10'N, 24°56'E",
            "60,1699, 24,9384",
        ] {
            let refusal = text.parse::<Location>().unwrap_err();
            assert!(refusal.contains("like 60.1699, 24.9384"), "{refusal}");
        }
    }
}
