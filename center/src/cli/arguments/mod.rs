//! The command line: what can be written, by topic. What it does is in the modules beside this one.

pub(crate) mod api;
pub(crate) mod enroll;
pub(crate) mod files;
pub(crate) mod gateways;
pub(crate) mod groups;
pub(crate) mod serve;
pub(crate) mod storage;
pub(crate) mod updates;
pub(crate) mod webhooks;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use super::accounts::arguments::{
    AdminCommand, AuditArguments, CustomersCommand, TokenCommand, UsersCommand,
};
use super::magic_link::arguments::MagicLinkCommand;
use api::ApiArguments;
use enroll::{ENROLL_EXAMPLES, EnrollCommand, EnrollOrder};
use files::{BrokerUserCommand, CaCommand, KeysCommand};
use gateways::GatewaysCommand;
use groups::GroupsCommand;
use serve::ServeArguments;
use storage::{BackupArguments, RestoreArguments};
use updates::UpdateCommand;
use webhooks::{WEBHOOKS_EXAMPLES, WebhooksCommand};

/// Sends JetPorch scripts to groups of Kerlink gateways, and tells what became of them.
#[derive(Debug, Parser)]
#[command(name = "keros-center", version, propagate_version = true, after_long_help = EXAMPLES)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,
}

const EXAMPLES: &str = "\
Try it first, without any gateway:
  keros-center demo

Set up a center that gateways can join:
  keros-center keys generate
  keros-center serve --mqtt-tls 0.0.0.0:8883 --registry-tls 0.0.0.0:8443 --enroll-at center.example:8443 \
    --cert center.pem --cert-key center.key.pem
  keros-center enroll 7076FF0056070123

Set up a center, and a gateway's log-in by hand:
  keros-center keys generate
  keros-center broker-user add 7076FF0056070123
  keros-center serve --mqtt-tls 0.0.0.0:8883 --cert broker.pem --cert-key broker.key.pem

Log in at its pages, http://127.0.0.1:8480 when nothing else is said:
  keros-center admin create anna

Send a script to a group and watch it:
  keros-center gateways
  keros-center groups create north --gateways 7076FF0056070123,7076FF0056070124
  keros-center update send --group north --script ntp.yml --watch
  keros-center update cancel 01920000-0000-7000-8000-000000000002

Make a Magic Link, a bundle with files for the gateways that it declares, and send it:
  keros-center magic-link create forwarder/ --gateways north.txt
  keros-center update send --group north --magic-link HASH

Exit codes:
  0  done; with --watch: every gateway succeeded
  1  the update has ended (or is overdue), and some gateway did not succeed; cancel: it was too late for some gateway
  2  the command line cannot be understood
  3  the script, the playbook or the variables are not valid: nothing was sent
  4  the center cannot be reached
  5  the center, or this command itself, refused or failed
  130  ended by Ctrl-C";

/// What can be done.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run the center: broker, database, web pages, REST API
    Serve(Box<ServeArguments>),
    /// Write all that the center keeps into one file, while it serves or not: the rows of its database and the files of Magic Links
    Backup(BackupArguments),
    /// Put a backup into an empty data folder or database: SQLite or PostgreSQL, whichever it was made of
    Restore(RestoreArguments),
    /// Show all of it at work on this machine: center, broker and three agents, in a temporary folder
    Demo(DemoArguments),
    /// Make or show the keys that sign what gateways are ordered
    Keys {
        #[command(subcommand)]
        command: KeysCommand,
    },
    /// Make or show the authority that signs gateways' certificates
    Ca {
        #[command(subcommand)]
        command: CaCommand,
    },
    /// Let gateways join: print for each the line that is pasted there
    #[command(args_conflicts_with_subcommands = true, after_long_help = ENROLL_EXAMPLES)]
    Enroll {
        #[command(flatten)]
        access: Access,
        #[command(subcommand)]
        command: Option<EnrollCommand>,
        #[command(flatten)]
        order: EnrollOrder,
    },
    /// Give gateways passwords for the embedded broker
    BrokerUser {
        #[command(subcommand)]
        command: BrokerUserCommand,
    },
    /// See and name gateways
    Gateways {
        #[command(flatten)]
        access: Access,
        #[command(subcommand)]
        command: Option<GatewaysCommand>,
    },
    /// See and change groups of gateways
    Groups {
        #[command(flatten)]
        access: Access,
        #[command(subcommand)]
        command: Option<GroupsCommand>,
    },
    /// Send updates and follow them
    Update {
        #[command(flatten)]
        access: Access,
        #[command(subcommand)]
        command: UpdateCommand,
    },
    /// See and change webhooks: addresses that are told when updates end or fail
    #[command(after_long_help = WEBHOOKS_EXAMPLES)]
    Webhooks {
        #[command(flatten)]
        access: Access,
        #[command(subcommand)]
        command: Option<WebhooksCommand>,
    },
    /// Make Magic Links, bundles that only the gateways declared in them run, and move them between folders, center and registries
    MagicLink {
        #[command(flatten)]
        access: Access,
        #[command(subcommand)]
        command: Option<MagicLinkCommand>,
    },
    /// Make the first administrator, who logs in at the pages
    Admin {
        #[command(subcommand)]
        command: AdminCommand,
    },
    /// See and change users and their roles
    Users {
        #[command(flatten)]
        access: Access,
        #[command(subcommand)]
        command: Option<UsersCommand>,
    },
    /// See and change customers
    Customers {
        #[command(flatten)]
        access: Access,
        #[command(subcommand)]
        command: Option<CustomersCommand>,
    },
    /// See, make and revoke your API tokens
    Token {
        #[command(flatten)]
        access: Access,
        #[command(subcommand)]
        command: TokenCommand,
    },
    /// See who did what
    Audit {
        #[command(flatten)]
        access: Access,
        #[command(flatten)]
        arguments: AuditArguments,
    },
    /// Ask the REST API anything
    Api {
        #[command(flatten)]
        access: Access,
        #[command(flatten)]
        arguments: ApiArguments,
    },
    /// Print the completions for a shell: add them with `source <(keros-center completions bash)`
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
}

/// Under which the help has what is the same for all commands that ask the center; else it stands between their own.
const ASKING: &str = "Asking the center";

/// Where the center is, for commands that ask it.
#[derive(Debug, Clone, Args)]
pub(crate) struct Access {
    /// Address of the center's REST API
    #[arg(
        long,
        global = true,
        help_heading = ASKING,
        value_name = "URL",
        env = "KEROS_CENTER_URL",
        default_value = "http://127.0.0.1:8480"
    )]
    pub(crate) center: String,
    /// File with the access token [default: api-token in the data folder]
    #[arg(long, global = true, help_heading = ASKING, value_name = "FILE", env = "KEROS_CENTER_TOKEN_FILE")]
    pub(crate) token_file: Option<PathBuf>,
    /// The center's data folder, if it is on this machine
    #[arg(long, global = true, help_heading = ASKING, value_name = "DIR", env = "KEROS_CENTER_DATA", default_value = DEFAULT_DATA_FOLDER)]
    pub(crate) data_folder: PathBuf,
    /// Print JSON: what the REST API answers
    #[arg(long, global = true, help_heading = ASKING)]
    pub(crate) json: bool,
}

impl Access {
    /// The file with the token.
    pub(crate) fn token_file(&self) -> PathBuf {
        self.token_file.clone().unwrap_or_else(|| self.data_folder.join("api-token"))
    }
}

/// Where the center keeps its things when nothing else is said.
pub(crate) const DEFAULT_DATA_FOLDER: &str = "/var/lib/keros-center";

/// `demo`.
#[derive(Debug, Args)]
pub(crate) struct DemoArguments {
    /// Leave it running at the end, until Ctrl-C
    #[arg(long)]
    pub(crate) keep: bool,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }

    /// The commands in the examples of a command's help and of all below it; single quotes are taken away.
    fn examples(command: &clap::Command, found: &mut Vec<Vec<String>>) {
        let text = command.get_after_long_help().map(ToString::to_string).unwrap_or_default();
        for line in text.replace("\\\n", " ").lines() {
            let line = line.trim_start_matches("  HASH=$(").trim_end_matches(')').trim();
            if !line.starts_with("keros-center ") {
                continue;
            }
            let hash = format!("sha256:{:064}", 0);
            let quoted = |(index, part): (usize, &str)| -> Vec<String> {
                match index % 2 {
                    1 => vec![part.to_owned()],
                    _ => part
                        .split_whitespace()
                        .map(|word| if word == "HASH" { hash.clone() } else { word.to_owned() })
                        .collect(),
                }
            };
            found.push(line.split('\'').enumerate().flat_map(quoted).collect());
        }
        command.get_subcommands().for_each(|command| examples(command, found));
    }

    #[test]
    fn every_example_of_the_help_is_understood() {
        let mut found = Vec::new();
        examples(&Arguments::command(), &mut found);
        assert!(found.len() > 20, "{found:?}");
        for words in found {
            let parsed = Arguments::try_parse_from(&words);
            assert!(
                parsed.is_ok(),
                "{words:?}: {}",
                parsed.err().map(|error| error.to_string()).unwrap_or_default()
            );
        }
    }

    #[test]
    fn how_the_center_is_asked_stands_apart_in_the_help() {
        let mut tree = Arguments::command();
        tree.build();
        let mut found = 0;
        all_commands(&tree, &mut Vec::new(), &mut |words, command| {
            let of_all =
                |argument: &&clap::Arg| ["center", "token_file"].contains(&argument.get_id().as_str());
            for argument in command.get_arguments().filter(of_all) {
                found += 1;
                assert_eq!(argument.get_help_heading(), Some(ASKING), "{words:?} {argument}");
            }
        });
        assert!(found > 50, "{found}");
    }

    #[test]
    fn gateways_may_be_written_as_on_the_label() {
        let arguments = Arguments::try_parse_from([
            "keros-center",
            "groups",
            "create",
            "north",
            "--gateways",
            "7076ff0056070123,70-76-FF-00-56-07-01-24",
        ])
        .unwrap();
        let Command::Groups { command: Some(GroupsCommand::Create { gateways, .. }), .. } = arguments.command
        else {
            panic!("another command");
        };
        assert_eq!(gateways[1].to_string(), "7076FF0056070124");
    }

    /// Each command with the words that lead to it.
    fn all_commands<'a>(
        command: &'a clap::Command,
        words: &mut Vec<String>,
        take: &mut dyn FnMut(&[String], &'a clap::Command),
    ) {
        for below in command.get_subcommands().filter(|below| below.get_name() != "help") {
            words.push(below.get_name().to_owned());
            take(words, below);
            all_commands(below, words, take);
            words.pop();
        }
    }

    #[test]
    fn every_listing_can_be_had_as_json() {
        let mut tree = Arguments::command();
        tree.build();
        let mut listings = 0;
        all_commands(&tree, &mut Vec::new(), &mut |words, command| {
            let of_keys = matches!(words.first().map(String::as_str), Some("keys" | "ca"));
            let lists = ["list", "show", "count", "history", "packages", "messages", "audit"]
                .contains(&command.get_name());
            if lists && !of_keys {
                listings += 1;
                let has = command.get_arguments().any(|argument| argument.get_long() == Some("json"));
                assert!(has, "{words:?} has no --json");
            }
        });
        assert!(listings > 15, "{listings}");
    }

    #[test]
    fn the_completions_of_every_shell_know_every_command_and_every_option() {
        use clap::ValueEnum as _;
        let mut tree = Arguments::command();
        tree.build();
        for shell in clap_complete::Shell::value_variants() {
            let mut script = Vec::new();
            clap_complete::generate(*shell, &mut Arguments::command(), "keros-center", &mut script);
            let script = String::from_utf8(script).unwrap();
            all_commands(&tree, &mut Vec::new(), &mut |words, command| {
                assert!(script.contains(command.get_name()), "{shell}: {words:?}");
                for long in command.get_arguments().filter_map(clap::Arg::get_long) {
                    // fish writes `-l name`.
                    let is_there =
                        script.contains(&format!("--{long}")) || script.contains(&format!("-l {long}"));
                    assert!(is_there, "{shell}: {words:?} --{long}");
                }
            });
        }
    }
}
