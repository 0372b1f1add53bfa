//! `external`: a program of the script's own, from its `modules/` folder, that takes JSON and answers with a mapping.

use std::path::{Component, Path, PathBuf};

use keros_protocol::executor::TaskResult;
use serde_json::{Map, Value};

use super::result::{Judge, ResultFields};
use super::{Action, CheckContext, Failure, Module, Run, Scope};
use crate::fields::Fields;
use crate::script::parse_variables;
use crate::system::{Program, ProgramCommand, ProgramEnd};
use crate::template::{MAX_RENDERED_BYTES, Text};
use crate::yaml::{Node, Yaml};

#[derive(Debug)]
pub(super) struct External {
    program: Text,
    /// Where it is looked for; the first that has it wins.
    folders: Vec<PathBuf>,
    parameters: Parameter,
    result: ResultFields,
}

impl External {
    pub(super) fn parse(fields: &mut Fields<'_, '_>, check: &CheckContext<'_>) -> Option<Box<dyn Module>> {
        let program = fields.required_text("use").filter(|program| is_there(program, fields, check));
        let parameters = parse_parameters(fields);
        let result = ResultFields::parse(fields);
        let folders = check.module_folders.to_owned();
        Some(Box::new(Self { program: program?, folders, parameters: parameters?, result }))
    }
}

/// Reports a program that is not there. One in a variable is looked up when its task's turn comes.
fn is_there(program: &Text, fields: &mut Fields<'_, '_>, check: &CheckContext<'_>) -> bool {
    let found = if program.is_literal() || check.module_folders.is_empty() {
        find_program(program.source.trim(), check.module_folders).map(drop)
    } else {
        Ok(())
    };
    found.map_err(|message| fields.findings.invalid(program.at, &message)).is_ok()
}

fn find_program(name: &str, folders: &[PathBuf]) -> Result<PathBuf, String> {
    if folders.is_empty() {
        return Err("field (use): this script came without files, so it has no modules of its own".to_owned());
    }
    if !Path::new(name).components().all(|part| matches!(part, Component::Normal(_))) {
        return Err(format!("field (use): {name}: only a file below modules/ can be used, and no `..`"));
    }
    let found = folders.iter().map(|folder| folder.join(name)).find(|path| path.is_file());
    found.ok_or_else(|| format!("field (use): no such file: modules/{name}"))
}

fn parse_parameters(fields: &mut Fields<'_, '_>) -> Option<Parameter> {
    let Some(node) = fields.node("params") else {
        fields.missing("params");
        return None;
    };
    if !matches!(node.value, Yaml::Map(_)) {
        fields.wrong("params", node, "a mapping");
        return None;
    }
    Parameter::parse(node, fields)
}

/// A value whose texts are templates, each of its own: what is filled in can never break out of its place.
#[derive(Debug)]
enum Parameter {
    Text(Text),
    Other(Value),
    List(Vec<Self>),
    Map(Vec<(String, Self)>),
}

impl Parameter {
    /// `None` when a template in it is wrong; all of them are reported.
    fn parse(node: &Node, fields: &mut Fields<'_, '_>) -> Option<Self> {
        match &node.value {
            Yaml::Scalar { .. } => match node.to_json() {
                Value::String(text) => {
                    Text::compile(&text, "params", node.at, fields.findings).map(Self::Text)
                }
                other => Some(Self::Other(other)),
            },
            Yaml::List(list) => {
                let all: Vec<_> = list.iter().map(|node| Self::parse(node, fields)).collect();
                all.into_iter().collect::<Option<_>>().map(Self::List)
            }
            Yaml::Map(pairs) => {
                let name = |key: &Node| key.text().unwrap_or_default().to_owned();
                let all: Vec<_> =
                    pairs.iter().map(|(key, value)| Some((name(key), Self::parse(value, fields)?))).collect();
                all.into_iter().collect::<Option<_>>().map(Self::Map)
            }
        }
    }

    /// The value with its texts rendered, as long as they all fit into the room.
    fn render(&self, scope: &Scope<'_>, room: &mut usize) -> Result<Value, String> {
        Ok(match self {
            Self::Text(text) => {
                let rendered = text.render(scope.registries, scope.variables)?;
                *room = room
                    .checked_sub(rendered.len())
                    .ok_or_else(|| format!("field (params): more than {MAX_RENDERED_BYTES} bytes of text"))?;
                Value::String(rendered)
            }
            Self::Other(value) => value.clone(),
            Self::List(list) => {
                Value::Array(list.iter().map(|one| one.render(scope, room)).collect::<Result<_, _>>()?)
            }
            Self::Map(pairs) => {
                let pairs = pairs.iter().map(|(key, one)| Ok((key.clone(), one.render(scope, room)?)));
                Value::Object(pairs.collect::<Result<_, String>>()?)
            }
        })
    }
}

impl Module for External {
    fn prepare(&self, scope: &mut Scope<'_>) -> Result<Box<dyn Action + '_>, String> {
        let program = find_program(&scope.text(&self.program)?, &self.folders)?;
        let mut room = MAX_RENDERED_BYTES;
        let input = self.parameters.render(scope, &mut room)?.to_string();
        Ok(Box::new(Prepared { program, input, judge: self.result.prepare(scope)? }))
    }

    fn saves(&self, scope: &Scope<'_>) -> Vec<String> {
        self.result.saves(scope)
    }
}

struct Prepared<'m> {
    program: PathBuf,
    input: String,
    judge: Judge<'m>,
}

impl Action for Prepared<'_> {
    fn apply(&mut self, run: &mut Run<'_>) -> Result<TaskResult, Failure> {
        if run.dry_run {
            return self.judge.foretell(run);
        }
        let command = ProgramCommand::Script(&self.program);
        let program = Program { input: self.input.as_bytes(), folder: run.folder, ..run.program(command) };
        let end = run.system.run(&program)?;
        if end.timed_out {
            return Err(Failure::timed_out(end));
        }
        if end.exit_code != 0 {
            return Err(self.failed(format!("failed with exit code {}", end.exit_code), end));
        }
        match answer(&end) {
            Ok(answer) => self.judge.save_others_and_judge(answer, end, run),
            Err(why) => Err(self.failed(why, end)),
        }
    }
}

impl Prepared<'_> {
    fn failed(&self, why: String, end: ProgramEnd) -> Failure {
        let name = self.program.file_name().unwrap_or_default().display();
        let (exit_code, output) = (Some(end.exit_code), Some(end.output));
        Failure { message: format!("the module {name} {why}"), exit_code, output, ..Failure::default() }
    }
}

fn answer(end: &ProgramEnd) -> Result<Map<String, Value>, String> {
    if end.output.omitted_bytes > 0 {
        return Err("printed more than is kept of an output".to_owned());
    }
    if end.output.head.trim().is_empty() {
        return Err("printed nothing: it must print a mapping, in YAML or JSON".to_owned());
    }
    parse_variables(&end.output.head, "output").map_err(|findings| {
        let first = findings.first().map(ToString::to_string).unwrap_or_default();
        format!("must print one mapping, in YAML or JSON: {first}")
    })
}
