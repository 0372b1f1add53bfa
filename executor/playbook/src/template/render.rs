//! A compiled template with the variables filled in.

use handlebars::{Context, Output, RenderContext, Renderable as _};

use super::Compiled;
use crate::helpers::Registries;

/// Result of one rendering, bytes.
pub(crate) const MAX_RENDERED_BYTES: usize = 1024 * 1024;

/// Renders a compiled template.
///
/// # Errors
/// In words.
pub(crate) fn render(
    template: &Compiled,
    registries: &Registries,
    context: &Context,
) -> Result<String, String> {
    render_with(template, registries.plain(), context)
}

pub(crate) fn render_with(
    template: &Compiled,
    registry: &handlebars::Handlebars<'_>,
    context: &Context,
) -> Result<String, String> {
    let mut output = Bounded::default();
    let mut state = RenderContext::new(None);
    let mut parts = template.0.iter();
    match parts.try_for_each(|part| part.render(registry, context, &mut state, &mut output)) {
        _ if output.full => {
            Err(format!("Template error: the result is longer than {MAX_RENDERED_BYTES} bytes"))
        }
        Ok(()) => Ok(output.text),
        Err(error) => Err(format!("Template error: {}", error.desc)),
    }
}

/// Takes what a template writes, to a bound.
#[derive(Default)]
struct Bounded {
    text: String,
    full: bool,
}

impl Output for Bounded {
    fn write(&mut self, segment: &str) -> std::io::Result<()> {
        if self.text.len() + segment.len() > MAX_RENDERED_BYTES {
            self.full = true;
            return Err(std::io::Error::other("too long"));
        }
        self.text.push_str(segment);
        Ok(())
    }
}
