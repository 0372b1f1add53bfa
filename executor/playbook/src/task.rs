//! A task or handler as the script gives it, and its check.

use crate::fields::Fields;
use crate::findings::Findings;
use crate::modules::{self, CheckContext, Module, Scope, TemplateFiles, UNSUPPORTED};
use crate::suggestions;
use crate::template::{Condition, Text};
use crate::yaml::{Node, Position, Yaml};

/// Retries of one task: each is an event that is kept.
const MAX_RETRIES: u32 = 1_000;
/// The name of an event, bytes.
const MAX_EVENT_BYTES: usize = 256;

/// A checked task.
#[derive(Debug)]
pub(crate) struct Task {
    pub(crate) at: Position,
    /// The module's name.
    pub(crate) module_name: &'static str,
    /// As the script names it, else the module's name.
    pub(crate) name: String,
    pub(crate) module: Box<dyn Module>,
    pub(crate) with: With,
    pub(crate) and: And,
    /// The file that it stands in, where that is not the script.
    pub(crate) file: Option<String>,
}

/// Whether, how often and for whom a task runs.
#[derive(Debug, Default)]
pub(crate) struct With {
    pub(crate) condition: Option<Condition>,
    pub(crate) items: Option<Items>,
    /// Handlers only: the event.
    pub(crate) subscribe: Option<String>,
    pub(crate) tags: Vec<String>,
    /// The user that it acts as.
    pub(crate) sudo: Option<Text>,
    /// Must be `localhost`.
    pub(crate) delegate_to: Option<Text>,
}

/// What a loop goes over.
#[derive(Debug)]
pub(crate) enum Items {
    /// A variable.
    Variable(String),
    /// Texts in the script.
    Texts(Vec<Text>),
}

/// What follows a task.
#[derive(Debug, Default)]
pub(crate) struct And {
    pub(crate) notify: Option<Text>,
    pub(crate) ignore_errors: Option<Text>,
    pub(crate) retry: Option<Text>,
    pub(crate) delay: Option<Text>,
}

/// Where the files are that a task may name.
pub(crate) struct Place<'a> {
    /// The folder of `files/` and `templates/`.
    pub(crate) folder: Option<&'a std::path::Path>,
    pub(crate) module_folders: &'a [std::path::PathBuf],
    pub(crate) templates: &'a TemplateFiles,
}

impl Place<'_> {
    const fn check(&self, unconditional: bool) -> CheckContext<'_> {
        let Self { folder, module_folders, templates } = *self;
        CheckContext { folder, unconditional, module_folders, templates }
    }
}

impl Task {
    /// Checks one element of a list of tasks.
    pub(crate) fn parse(
        node: &Node,
        is_handler: bool,
        place: &Place<'_>,
        findings: &mut Findings,
    ) -> Option<Self> {
        let Some(tag) = node.tag.as_deref() else {
            let message = "a task begins with its module: `- !module { … }`";
            findings.invalid_because(node.at, message, suggestions::for_untagged(node));
            return None;
        };
        let (module_name, parse) = find_module(tag, node, findings)?;
        let mut fields = Fields::of(node, &format!("the module `{module_name}`"), findings);
        let name = fields.plain("name").unwrap_or_else(|| module_name.to_owned());
        let with = fields.node("with").map(|node| With::parse(node, is_handler, fields.findings));
        let and = fields.node("and").map(|node| And::parse(node, fields.findings)).unwrap_or_default();
        let unconditional = with.as_ref().is_none_or(|with| with.condition.is_none());
        let module = parse(&mut fields, &place.check(unconditional));
        fields.finish();
        let with = with.unwrap_or_default();
        if with.items.is_some() && module.as_ref().is_some_and(|module| module.reboots()) {
            findings.invalid(node.at, "a reboot cannot be in a loop: leave `items` out");
        }
        let file = findings.other_file();
        Some(Self { at: node.at, module_name, name, module: module?, with, and, file })
    }
}

type ModuleEntry = (&'static str, fn(&mut Fields<'_, '_>, &CheckContext<'_>) -> Option<Box<dyn Module>>);

fn find_module(tag: &str, node: &Node, findings: &mut Findings) -> Option<ModuleEntry> {
    if let Some(entry) = modules::find(tag) {
        return Some(entry);
    }
    if let Some((_, why)) = UNSUPPORTED.iter().find(|(name, _)| *name == tag) {
        findings.unsupported(node.at, &format!("{why} `{tag}`"));
        return None;
    }
    let message = format!("there is no module `{tag}`");
    match suggestions::for_module(tag) {
        Some(suggestion) => findings.invalid_because(node.at, &message, Some(suggestion)),
        None => findings.unknown(node.at, &message, tag, &modules::names()),
    }
    None
}

impl With {
    fn parse(node: &Node, is_handler: bool, findings: &mut Findings) -> Self {
        let mut fields = Fields::of(node, "`with`", findings);
        let condition = fields.node("condition").and_then(|node| match node.text() {
            Some(text) => Condition::of_field(text, node.at, fields.findings),
            None => {
                fields.wrong("condition", node, "an expression");
                None
            }
        });
        let items = fields.node("items").and_then(|node| Items::parse(node, &mut fields));
        let subscribe = fields.plain("subscribe").map(|event| event.trim().to_owned());
        if is_handler && subscribe.is_none() {
            let at = fields.at();
            fields.findings.invalid(at, "a handler with `with` needs `subscribe`: it would never be called");
        }
        let tags = fields.texts("tags").unwrap_or_default();
        let tags = tags.iter().filter_map(|node| node.text()).map(str::to_owned).collect();
        let (sudo, delegate_to) = (fields.text("sudo"), fields.text("delegate_to"));
        fields.finish();
        Self { condition, items, subscribe, tags, sudo, delegate_to }
    }
}

impl Items {
    fn parse(node: &Node, fields: &mut Fields<'_, '_>) -> Option<Self> {
        match &node.value {
            Yaml::Scalar { text, .. } if node.is_text() => Some(Self::Variable(text.trim().to_owned())),
            Yaml::Scalar { .. } => {
                fields.wrong("items", node, "the name of a list, or a list of texts");
                None
            }
            Yaml::List(_) => {
                let texts = fields.texts("items")?;
                for node in texts.iter().filter(|node| !node.is_text()) {
                    let message = "a list in `items` holds texts only: put this into quotes, or the list into a variable";
                    fields.findings.invalid(node.at, message);
                }
                let compile = |node: &&Node| {
                    Text::compile(node.text().unwrap_or_default(), "items", node.at, fields.findings)
                };
                Some(Self::Texts(texts.iter().filter_map(compile).collect()))
            }
            Yaml::Map(_) => {
                fields.wrong("items", node, "the name of a list, or a list of texts");
                None
            }
        }
    }
}

impl And {
    fn parse(node: &Node, findings: &mut Findings) -> Self {
        let mut fields = Fields::of(node, "`and`", findings);
        let and = Self {
            notify: fields.text("notify"),
            ignore_errors: fields.flag("ignore_errors"),
            retry: fields.number("retry"),
            delay: fields.number("delay"),
        };
        fields.finish();
        and
    }
}

/// `and`, rendered.
pub(crate) struct Followup {
    pub(crate) notify: Option<String>,
    pub(crate) ignore_errors: bool,
    pub(crate) retry: u32,
    pub(crate) delay_s: u32,
    /// The user to act as, when it is not this program's own.
    pub(crate) user: Option<String>,
}

impl Followup {
    /// Renders it; `default_user` is the play's.
    ///
    /// # Errors
    /// In words.
    pub(crate) fn prepare(
        task: &Task,
        default_user: Option<&str>,
        scope: &mut Scope<'_>,
    ) -> Result<Self, String> {
        if let Some(host) = scope.optional_word(task.with.delegate_to.as_ref())? {
            if host != "localhost" {
                return Err(format!("delegate_to: only localhost is here, not {host}"));
            }
            scope.variables.fact("delegate_host", host.into());
        }
        let user = scope.optional_word(task.with.sudo.as_ref())?;
        let user = user.or_else(|| default_user.map(str::to_owned)).filter(|user| user != "root");
        let and = &task.and;
        let notify = and.notify.as_ref().map(|text| scope.text(text)).transpose()?;
        if notify.as_ref().is_some_and(|event| event.len() > MAX_EVENT_BYTES) {
            return Err(format!("field (notify): longer than {MAX_EVENT_BYTES} bytes"));
        }
        let retry = scope.number(and.retry.as_ref())?.unwrap_or(0);
        if retry > MAX_RETRIES {
            return Err(format!("field (retry): {retry} is more than {MAX_RETRIES}"));
        }
        Ok(Self {
            notify,
            ignore_errors: scope.flag(and.ignore_errors.as_ref())?.unwrap_or(false),
            retry,
            delay_s: scope.number(and.delay.as_ref())?.unwrap_or(1),
            user,
        })
    }
}
