//! The functions that templates can call, and the filter for values that go into a shell command.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use handlebars::{
    Context, Handlebars, Helper, HelperDef, HelperResult, Output, RenderContext, RenderError, ScopedJson,
    handlebars_helper, no_escape,
};
use serde_json::Value;

use crate::template::{Compiled, render_with};

handlebars_helper!(ToLowerCase: |text: str| text.to_lowercase());
handlebars_helper!(ToUpperCase: |text: str| text.to_uppercase());
handlebars_helper!(Trim: |text: str| text.trim());
handlebars_helper!(TrimStart: |text: str| text.trim_start());
handlebars_helper!(TrimEnd: |text: str| text.trim_end());
handlebars_helper!(Contains: |text: str, part: str| text.contains(part));
handlebars_helper!(StartsWith: |text: str, part: str| text.starts_with(part));
handlebars_helper!(EndsWith: |text: str, part: str| text.ends_with(part));

/// `isdefined x`: whether the variable is there, which no other helper may ask without an error.
struct IsDefined;

impl HelperDef for IsDefined {
    fn call_inner<'reg: 'rc, 'rc>(
        &self,
        helper: &Helper<'reg, 'rc>,
        _: &'reg Handlebars<'reg>,
        _: &'rc Context,
        _: &mut RenderContext<'reg, 'rc>,
    ) -> Result<ScopedJson<'reg, 'rc>, RenderError> {
        let param = helper.param(0).ok_or_else(|| RenderError::new("`isdefined` needs a variable"))?;
        Ok(ScopedJson::Derived(Value::Bool(!param.is_value_missing())))
    }
}

/// The name of the helper that stands at the beginning of every block.
pub(crate) const TICK: &str = "keros_tick";

/// Entries into blocks in one rendering. A loop over 10,000 items with some conditions in it has 50,000.
const MAX_TICKS: u32 = 200_000;

/// How long one rendering may take: one turn may search a value of some MiB.
const MAX_RENDERING: Duration = Duration::from_secs(10);

/// Entries into blocks of the rendering under way, and when it began.
struct Turns(Mutex<(u32, Instant)>);

impl Turns {
    fn new() -> Arc<Self> {
        Arc::new(Self(Mutex::new((0, Instant::now()))))
    }

    fn begin(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = (0, Instant::now());
    }
}

/// Counts entries into blocks, and ends a rendering that has too many, or takes too long.
struct Tick(Arc<Turns>);

impl HelperDef for Tick {
    fn call<'reg: 'rc, 'rc>(
        &self,
        _: &Helper<'reg, 'rc>,
        _: &'reg Handlebars<'reg>,
        _: &'rc Context,
        _: &mut RenderContext<'reg, 'rc>,
        _: &mut dyn Output,
    ) -> HelperResult {
        let mut turns = self.0.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (count, began) = &mut *turns;
        *count += 1;
        if *count > MAX_TICKS {
            return Err(RenderError::new(format!("more than {MAX_TICKS} turns of loops and blocks")));
        }
        if began.elapsed() > MAX_RENDERING {
            return Err(RenderError::new(format!("it takes longer than {} s", MAX_RENDERING.as_secs())));
        }
        Ok(())
    }
}

/// The value that the filter refused, of the rendering under way.
type Refused = Arc<Mutex<Option<String>>>;

/// The two ways to render: as it is, and filtered for a shell.
pub(crate) struct Registries {
    plain: Handlebars<'static>,
    filtered: Handlebars<'static>,
    refused: Refused,
    turns: Arc<Turns>,
}

impl Registries {
    pub(crate) fn new() -> Self {
        let turns = Turns::new();
        let mut plain = registry(&turns);
        plain.register_escape_fn(no_escape);
        let refused = Refused::default();
        let mut filtered = registry(&turns);
        let seen = Arc::clone(&refused);
        filtered.register_escape_fn(move |value| {
            if dangerous_in_shell(value).is_some() {
                lock(&seen).get_or_insert_with(|| value.to_owned());
            }
            value.to_owned()
        });
        Self { plain, filtered, refused, turns }
    }

    /// For one rendering.
    pub(crate) fn plain(&self) -> &Handlebars<'static> {
        self.turns.begin();
        &self.plain
    }

    /// Renders a command, and says why when one of its values is refused.
    pub(crate) fn render_filtered(
        &self,
        template: &Compiled,
        context: &Context,
    ) -> (Result<String, String>, Option<String>) {
        lock(&self.refused).take();
        self.turns.begin();
        let rendered = render_with(template, &self.filtered, context);
        let refused = lock(&self.refused).take().map(|value| refusal(&value, context.data()));
        (rendered, refused)
    }
}

fn lock(refused: &Refused) -> std::sync::MutexGuard<'_, Option<String>> {
    refused.lock().unwrap_or_else(PoisonError::into_inner)
}

fn registry(turns: &Arc<Turns>) -> Handlebars<'static> {
    let mut registry = Handlebars::new();
    registry.set_strict_mode(true);
    registry.register_helper(TICK, Box::new(Tick(Arc::clone(turns))));
    registry.register_helper("to_lower_case", Box::new(ToLowerCase));
    registry.register_helper("to_upper_case", Box::new(ToUpperCase));
    registry.register_helper("trim", Box::new(Trim));
    registry.register_helper("trim_start", Box::new(TrimStart));
    registry.register_helper("trim_end", Box::new(TrimEnd));
    registry.register_helper("contains", Box::new(Contains));
    registry.register_helper("starts_with", Box::new(StartsWith));
    registry.register_helper("ends_with", Box::new(EndsWith));
    registry.register_helper("isdefined", Box::new(IsDefined));
    registry
}

/// The first character by which a value would be more than words to a shell. `~` and `#` mean something only at the
/// beginning of a word.
pub(crate) fn dangerous_in_shell(value: &str) -> Option<char> {
    let mut before = ' ';
    for character in value.chars() {
        let at_word_start = matches!(before, ' ' | '\t' | '=' | ':');
        let dangerous = match character {
            '~' | '#' => at_word_start,
            '\t' => false,
            _ => character.is_control() || ";&|<>(){}$`\"'\\*?[]!".contains(character),
        };
        if dangerous {
            return Some(character);
        }
        before = character;
    }
    None
}

fn refusal(value: &str, variables: &Value) -> String {
    let shown = keros_protocol::limits::shorten(value, 80);
    let character = dangerous_in_shell(value).unwrap_or(' ');
    let name = path_of(value, variables, 0).map_or_else(String::new, |path| format!(" of variable `{path}`"));
    format!(
        "field (cmd): the value {shown:?}{name} holds {character:?}, which means something to a shell: \
         change the value, or set `unsafe: true` when it is meant"
    )
}

/// Where among the variables a text stands; only for the message.
fn path_of(value: &str, variables: &Value, depth: usize) -> Option<String> {
    let inside = |key: String, child: &Value| match child {
        Value::String(text) if text == value => Some(key),
        _ if depth < 8 => path_of(value, child, depth + 1).map(|rest| format!("{key}.{rest}")),
        _ => None,
    };
    match variables {
        Value::Object(map) => map.iter().find_map(|(key, child)| inside(key.clone(), child)),
        Value::Array(list) => list.iter().enumerate().find_map(|(i, child)| inside(format!("[{i}]"), child)),
        _ => None,
    }
}
