//! `copy` and `template`: a file holds what another file, a text in the script, or a template says.

use std::borrow::Cow;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use keros_protocol::executor::{TaskResult, TaskStatus};

use super::attributes::{AttributeFields, Wanted, drift};
use super::{Action, CheckContext, Failure, Module, Run, Scope, change, diff, done, refuse_folder_name};
use crate::fields::Fields;
use crate::system::{Content, FileKind, Metadata};
use crate::template::{MAX_TEMPLATE_BYTES, TemplateFile, Text};

/// Greatest content that is shown in a change, bytes.
const MAX_SHOWN_BYTES: usize = 256;

#[derive(Debug)]
struct Copy {
    source: Source,
    dest: Text,
    attributes: AttributeFields,
}

#[derive(Debug)]
enum Source {
    /// `copy` with `src`.
    File(Text),
    /// `template` with `src`; compiled already when the check could find it.
    Template(Text, Option<Arc<TemplateFile>>),
    /// `copy` with `content`.
    Verbatim(String),
    /// `template` with `content`.
    Inline(Text),
}

pub(super) fn parse_copy(fields: &mut Fields<'_, '_>, check: &CheckContext<'_>) -> Option<Box<dyn Module>> {
    parse(fields, check, false)
}

pub(super) fn parse_template(
    fields: &mut Fields<'_, '_>,
    check: &CheckContext<'_>,
) -> Option<Box<dyn Module>> {
    parse(fields, check, true)
}

fn parse(
    fields: &mut Fields<'_, '_>,
    check: &CheckContext<'_>,
    is_template: bool,
) -> Option<Box<dyn Module>> {
    let (has_src, has_content) = (fields.node("src").is_some(), fields.node("content").is_some());
    if has_src == has_content {
        let at = fields.at();
        fields.findings.invalid(at, "exactly one of `src` and `content` must be given");
    }
    let source = match (has_src, is_template) {
        (true, true) => fields.text("src").and_then(|src| check_template(src, fields, check)),
        (true, false) => check_file(fields, check).map(Source::File),
        (false, true) => fields.text("content").map(Source::Inline),
        (false, false) => fields.plain("content").map(Source::Verbatim),
    };
    let dest = fields.required_text("dest");
    let attributes = AttributeFields::parse(fields);
    Some(Box::new(Copy { source: source?, dest: dest?, attributes }))
}

/// Whether a source can be looked up before anything is run: an absolute one may be made by an earlier task.
pub(super) fn early<'t>(src: &'t Text, check: &CheckContext<'_>) -> Option<&'t str> {
    let name = src.source.trim();
    (src.is_literal() && check.unconditional && !name.starts_with('/')).then_some(name)
}

/// The `src` that names a file, looked up already when that can be.
pub(super) fn check_file(fields: &mut Fields<'_, '_>, check: &CheckContext<'_>) -> Option<Text> {
    let src = fields.text("src")?;
    refuse_without_folder(&src, fields, check)?;
    if let Some(name) = early(&src, check)
        && let Err(message) = find_source(name, "files", check.folder)
    {
        fields.findings.invalid(src.at, &message);
        return None;
    }
    Some(src)
}

fn check_template(src: Text, fields: &mut Fields<'_, '_>, check: &CheckContext<'_>) -> Option<Source> {
    refuse_without_folder(&src, fields, check)?;
    let Some(name) = early(&src, check) else { return Some(Source::Template(src, None)) };
    match find_source(name, "templates", check.folder).and_then(|path| compiled_once(path, check)) {
        Ok(template) => Some(Source::Template(src, Some(template))),
        Err(message) => {
            fields.findings.invalid(src.at, &message);
            None
        }
    }
}

pub(super) fn refuse_without_folder(
    src: &Text,
    fields: &mut Fields<'_, '_>,
    check: &CheckContext<'_>,
) -> Option<()> {
    if check.folder.is_some() || !src.is_literal() || src.source.trim().starts_with('/') {
        return Some(());
    }
    let message = "field (src): this script came without files: name an absolute path of the machine, or in `copy` and \
                   `template` give the text itself with `content`";
    fields.findings.invalid(src.at, message);
    None
}

/// The file that a relative `src` names.
pub(super) fn find_source(name: &str, kind: &str, folder: Option<&Path>) -> Result<PathBuf, String> {
    let folder = folder.ok_or_else(|| {
        format!("field (src): {name}: this script came without files: give the text itself with `content`")
    })?;
    if Path::new(name).components().any(|part| part == Component::ParentDir) {
        return Err(format!("field (src): {name}: `..` is not allowed"));
    }
    let path = folder.join(kind).join(name);
    if path.is_file() { Ok(path) } else { Err(format!("field (src): no such file: {name}")) }
}

fn compiled_once(path: PathBuf, check: &CheckContext<'_>) -> Result<Arc<TemplateFile>, String> {
    if let Some(template) = check.templates.borrow().get(&path) {
        return Ok(Arc::clone(template));
    }
    let template = Arc::new(compile_file(&path)?);
    check.templates.borrow_mut().insert(path, Arc::clone(&template));
    Ok(template)
}

fn compile_file(path: &Path) -> Result<TemplateFile, String> {
    let mut bytes = Vec::new();
    let file =
        std::fs::File::open(path).map_err(|error| format!("cannot read {}: {error}", path.display()))?;
    let mut limited = std::io::Read::take(file, MAX_TEMPLATE_BYTES as u64 + 1);
    std::io::Read::read_to_end(&mut limited, &mut bytes)
        .map_err(|error| format!("cannot read {}: {error}", path.display()))?;
    compile_bytes(bytes, path)
}

fn compile_bytes(bytes: Vec<u8>, path: &Path) -> Result<TemplateFile, String> {
    let text = String::from_utf8(bytes).map_err(|_| format!("{} is not UTF-8 text", path.display()))?;
    TemplateFile::compile(&text).map_err(|fault| format!("{}: {}", path.display(), fault.message))
}

impl Module for Copy {
    fn prepare(&self, scope: &mut Scope<'_>) -> Result<Box<dyn Action + '_>, String> {
        let content = self.content(scope)?;
        let (dest, wanted) = (scope.path(&self.dest)?, self.attributes.prepare(scope)?);
        Ok(Box::new(Prepared { content, dest, wanted }))
    }

    fn only_touches_files(&self) -> bool {
        true
    }
}

impl Copy {
    fn content(&self, scope: &mut Scope<'_>) -> Result<Prepare<'_>, String> {
        match &self.source {
            Source::Verbatim(text) => Ok(Prepare::Bytes(Cow::Borrowed(text.as_bytes()))),
            Source::Inline(text) => scope.message(text).map(bytes),
            Source::Template(_, Some(template)) => rendered(scope, template).map(rendered_or_refused),
            Source::Template(src, None) => match scope.text(src)? {
                name if name.starts_with('/') => Ok(Prepare::TemplateOnMachine(name.into())),
                name => {
                    let path = find_source(&name, "templates", scope.folder)?;
                    match compile_file(&path) {
                        Ok(template) => rendered(scope, &template).map(rendered_or_refused),
                        Err(message) => Ok(Prepare::Refused(message)),
                    }
                }
            },
            Source::File(src) => match scope.text(src)? {
                name if name.starts_with('/') => Ok(Prepare::FileOnMachine(name.into())),
                name => find_source(&name, "files", scope.folder).and_then(of_script),
            },
        }
    }
}

/// Looked at before the task acts as another user, who may not be allowed to.
fn of_script(path: PathBuf) -> Result<Prepare<'static>, String> {
    let metadata = std::fs::metadata(&path);
    let metadata = metadata.map_err(|error| format!("cannot read {}: {error}", path.display()))?;
    // A copy that its owner may not write is never what is meant, and the files of a bundle are read-only.
    Ok(Prepare::File(path, metadata.permissions().mode() & 0o7777 | 0o200))
}

fn bytes(text: String) -> Prepare<'static> {
    Prepare::Bytes(Cow::Owned(text.into_bytes()))
}

fn rendered_or_refused(rendered: Result<String, String>) -> Prepare<'static> {
    rendered.map_or_else(Prepare::Refused, bytes)
}

/// What a file of the script or the machine comes to; inside an error when it cannot be rendered, or comes to nothing.
fn rendered(scope: &mut Scope<'_>, template: &TemplateFile) -> Result<Result<String, String>, String> {
    let rendered = scope.file_content(template)?;
    let is_something = |text: String| Some(text).filter(|text| !text.is_empty());
    Ok(rendered.and_then(|text| is_something(text).ok_or_else(|| "evaluated to empty string".to_owned())))
}

enum Prepare<'m> {
    Bytes(Cow<'m, [u8]>),
    /// Why there is none.
    Refused(String),
    /// In the script's folder, and its mode.
    File(PathBuf, u32),
    /// On the machine, below its root.
    FileOnMachine(PathBuf),
    TemplateOnMachine(PathBuf),
}

struct Prepared<'m> {
    content: Prepare<'m>,
    dest: PathBuf,
    wanted: Wanted,
}

impl Action for Prepared<'_> {
    fn apply(&mut self, run: &mut Run<'_>) -> Result<TaskResult, Failure> {
        let held;
        let (content, mode_if_new) = match &self.content {
            Prepare::Bytes(bytes) => (Content::Bytes(bytes), 0o644),
            Prepare::Refused(message) => return Err(message.clone().into()),
            Prepare::File(path, mode) => (Content::File(path), *mode),
            Prepare::FileOnMachine(path) => {
                let is = source_on_machine(path, run)?;
                (Content::Machine(path), is.mode)
            }
            Prepare::TemplateOnMachine(path) => {
                source_on_machine(path, run)?;
                let text = run.system.read(path, MAX_TEMPLATE_BYTES as u64)?;
                let template = compile_bytes(text, path)?;
                let mut scope =
                    Scope { registries: run.registries, variables: run.variables, folder: run.folder };
                held = rendered(&mut scope, &template)??.into_bytes();
                (Content::Bytes(&held), 0o644)
            }
        };
        place(&self.dest, &content, &self.wanted, mode_if_new, run)
    }
}

fn source_on_machine(path: &Path, run: &mut Run<'_>) -> Result<Metadata, Failure> {
    let is = run.system.metadata(path)?.filter(|is| is.kind == FileKind::File);
    is.ok_or_else(|| Failure::of_the_task(format!("field (src): no such file: {}", path.display())))
}

fn place(
    dest: &Path,
    content: &Content<'_>,
    wanted: &Wanted,
    mode_if_new: u32,
    run: &mut Run<'_>,
) -> Result<TaskResult, Failure> {
    let wanted = wanted.resolve(run.system)?;
    let Some(is) = run.system.metadata(dest)? else {
        refuse_folder_name(dest)?;
        let mut made = change("content", None, shown(content));
        made.diff = diff::of(dest, None, content, run);
        run.system.put_file(dest, content, wanted, mode_if_new)?;
        return Ok(done(TaskStatus::Created, vec![made]));
    };
    match is.kind {
        FileKind::File => refuse_folder_name(dest)?,
        FileKind::Directory => return Err(format!("{} is a directory", dest.display()).into()),
        _ => return Err(format!("{} is not a regular file", dest.display()).into()),
    }
    let (missing, mut changes) = drift(wanted, &is, run.system);
    if !run.system.holds(dest, content)? {
        let mut changed = change("content", shown_file(dest, &is, run), shown(content));
        changed.diff = diff::of(dest, Some(&is), content, run);
        changes.push(changed);
        run.system.put_file(dest, content, wanted, mode_if_new)?;
    } else {
        run.system.remove_remains(dest);
        if !changes.is_empty() {
            run.system.set_attributes(dest, missing)?;
        }
    }
    let status = if changes.is_empty() { TaskStatus::Matched } else { TaskStatus::Modified };
    Ok(done(status, changes))
}

/// A content short enough to be told.
fn shown(content: &Content<'_>) -> Option<String> {
    match content {
        Content::Bytes(bytes) if bytes.len() <= MAX_SHOWN_BYTES => String::from_utf8(bytes.to_vec()).ok(),
        _ => None,
    }
}

fn shown_file(path: &Path, is: &Metadata, run: &mut Run<'_>) -> Option<String> {
    if is.size_bytes > MAX_SHOWN_BYTES as u64 {
        return None;
    }
    String::from_utf8(run.system.read(path, MAX_SHOWN_BYTES as u64).ok()?).ok()
}
