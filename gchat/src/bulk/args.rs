//! What the commands that take a file of rows can be told.

use std::{path::PathBuf, str::FromStr};

use super::rows::Format;

#[derive(clap::Args)]
#[command(next_help_heading = "Many rows")]
pub(crate) struct Args {
    /// The format of the file [default: csv if its name ends in .csv, else ndjson]
    #[arg(long, value_enum, requires = "from")]
    pub(super) format: Option<Format>,
    /// The most rows to send per minute, all shards together; 0 means no limit [default:
    /// what Google allows a project, 60 for spaces and 300 for members]
    #[arg(long, value_name = "COUNT", requires = "from", value_parser = rate)]
    pub(super) rate: Option<f64>,
    /// The most rows to send at the same time
    #[arg(long, value_name = "COUNT", requires = "from", default_value_t = 16,
          value_parser = clap::value_parser!(u16).range(1..))]
    pub(super) concurrency: u16,
    /// Send only every Nth row from the Kth on, so that N machines can share a file and
    /// the rate
    #[arg(long, value_name = "K/N", requires = "from", default_value = "1/1")]
    pub(super) shard: Shard,
    /// The file that records the result of each row [default: FILE.journal]
    #[arg(long, value_name = "FILE", requires = "from")]
    pub(super) journal: Option<PathBuf>,
    /// Send failed rows again, with the same request ids
    #[arg(long, requires = "from")]
    pub(super) retry_failed: bool,
    /// How long to keep trying a row without a clear response, in seconds
    #[arg(long, value_name = "SECONDS", requires = "from", default_value_t = 600)]
    pub(super) patience: u64,
}

pub(crate) fn rate(text: &str) -> Result<f64, String> {
    let rate: f64 = text.parse().map_err(|_| "not a number".to_owned())?;
    if (0.0..1e9).contains(&rate) { Ok(rate) } else { Err("not a rate".to_owned()) }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Shard {
    number: u64,
    pub(super) of: u64,
}

impl FromStr for Shard {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let form = || "write K/N, such as 1/3, with K from 1 to N".to_owned();
        let (number, of) = text.split_once('/').ok_or_else(form)?;
        let shard = Self { number: number.parse().map_err(|_| form())?, of: of.parse().map_err(|_| form())? };
        if (1..=shard.of).contains(&shard.number) { Ok(shard) } else { Err(form()) }
    }
}

impl std::fmt::Display for Shard {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.number, self.of)
    }
}

impl Shard {
    pub(super) fn takes(self, row: u64) -> bool {
        row % self.of == self.number - 1
    }

    /// How many of so many rows.
    pub(super) fn count(self, rows: u64) -> u64 {
        rows / self.of + u64::from(rows % self.of >= self.number)
    }

    /// What comes after the name of the file of rows in the names of its own files.
    pub(super) fn suffix(self) -> String {
        if self.of == 1 { String::new() } else { format!(".{}-of-{}", self.number, self.of) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shards_take_each_row_once() {
        for (rows, of) in [(0, 1), (7, 1), (7, 3), (9, 3), (2, 5), (3, u64::MAX)] {
            let shards: Vec<Shard> = (1..=of.min(5)).map(|number| Shard { number, of }).collect();
            for row in 0..rows {
                assert_eq!(shards.iter().filter(|shard| shard.takes(row)).count(), 1, "{row} of {rows} by {of}");
            }
            assert_eq!(shards.iter().map(|shard| shard.count(rows)).sum::<u64>(), rows, "{rows} by {of}");
        }
        assert!(["0/1", "2/1", "1", "a/b", "1/0"].iter().all(|text| text.parse::<Shard>().is_err()));
    }
}
