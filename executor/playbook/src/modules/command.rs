//! `command`: a program and its arguments, without a shell in between, so that nothing in a value means anything.

use std::path::{Path, PathBuf};

use keros_protocol::executor::TaskResult;

use super::result::{Judge, ResultFields};
use super::{Action, CheckContext, Failure, Module, Run, Scope};
use crate::fields::Fields;
use crate::system::{FileKind, Program, ProgramCommand};
use crate::template::Text;

#[derive(Debug)]
pub(super) struct Command {
    arguments: Vec<Text>,
    input: Option<Text>,
    folder: Option<Text>,
    result: ResultFields,
}

impl Command {
    pub(super) fn parse(fields: &mut Fields<'_, '_>, _: &CheckContext<'_>) -> Option<Box<dyn Module>> {
        let arguments = parse_arguments(fields);
        let (input, folder) = (fields.text("stdin"), fields.text("folder"));
        let result = ResultFields::parse(fields);
        Some(Box::new(Self { arguments: arguments?, input, folder, result }))
    }
}

fn parse_arguments(fields: &mut Fields<'_, '_>) -> Option<Vec<Text>> {
    let Some(at) = fields.node("argv").map(|node| node.at) else {
        fields.missing("argv");
        return None;
    };
    let nodes = fields.texts("argv")?;
    if nodes.is_empty() {
        fields.findings.invalid(at, "field (argv): the list is empty: its first text is the program");
    }
    let texts = nodes
        .into_iter()
        .map(|node| Text::compile(node.text().unwrap_or_default(), "argv", node.at, fields.findings));
    let texts = texts.collect::<Vec<_>>().into_iter().collect::<Option<Vec<_>>>()?;
    if let Some(first) = texts.first().filter(|text| text.is_literal())
        && let Err(message) = check_program(&first.source)
    {
        fields.findings.invalid(first.at, &message);
    }
    Some(texts)
}

/// A name is looked up in the search path, so a relative path would be below each of its folders.
fn check_program(program: &str) -> Result<(), String> {
    if program.is_empty() {
        return Err("field (argv): the first text, the program, is empty".to_owned());
    }
    if program.contains('/') && !program.starts_with('/') {
        return Err(format!("field (argv): {program}: give a name, or a path that begins with /"));
    }
    Ok(())
}

impl Module for Command {
    fn prepare(&self, scope: &mut Scope<'_>) -> Result<Box<dyn Action + '_>, String> {
        let arguments = self.arguments.iter().map(|text| scope.verbatim(text));
        let arguments = arguments.collect::<Result<Vec<_>, _>>()?;
        check_program(arguments.first().map_or("", String::as_str))?;
        let input = self.input.as_ref().map(|text| scope.verbatim(text)).transpose()?;
        let folder = self.folder.as_ref().map(|text| absolute(scope, text)).transpose()?;
        let judge = self.result.prepare(scope)?;
        Ok(Box::new(Prepared { arguments, input: input.unwrap_or_default(), folder, judge }))
    }

    fn saves(&self, scope: &Scope<'_>) -> Vec<String> {
        self.result.saves(scope)
    }
}

fn absolute(scope: &Scope<'_>, text: &Text) -> Result<PathBuf, String> {
    let path = PathBuf::from(scope.verbatim(text)?);
    if path.is_absolute() {
        return Ok(path);
    }
    Err(format!("field ({}): {} must begin with /", text.key, path.display()))
}

struct Prepared<'m> {
    arguments: Vec<String>,
    input: String,
    folder: Option<PathBuf>,
    judge: Judge<'m>,
}

impl Action for Prepared<'_> {
    fn apply(&mut self, run: &mut Run<'_>) -> Result<TaskResult, Failure> {
        if let Some(folder) = &self.folder {
            refuse_no_directory(folder, run)?;
        }
        if run.dry_run {
            return self.judge.foretell(run);
        }
        let arguments: Vec<&str> = self.arguments.iter().map(String::as_str).collect();
        let Some((name, arguments)) = arguments.split_first() else {
            return Err("field (argv): the list is empty".to_owned().into());
        };
        let program = Program {
            input: self.input.as_bytes(),
            folder: run.folder,
            within: self.folder.as_deref(),
            ..run.program(ProgramCommand::Tool(name, arguments))
        };
        let end = run.system.run(&program)?;
        if end.timed_out {
            return Err(Failure::timed_out(end));
        }
        self.judge.save_and_judge(end, run)
    }
}

/// Otherwise the program itself would seem to be missing.
fn refuse_no_directory(folder: &Path, run: &mut Run<'_>) -> Result<(), Failure> {
    match run.system.metadata(folder)? {
        Some(is) if is.kind == FileKind::Directory => Ok(()),
        Some(_) => Err(format!("field (folder): {} is not a directory", folder.display()).into()),
        None => Err(format!("field (folder): there is no {}", folder.display()).into()),
    }
}
