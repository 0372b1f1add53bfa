//! What of a parsed template is made another: escaping, loops, partials.

use std::collections::HashMap;

use handlebars::Template;
use handlebars::template::{ExpressionSpec, HelperTemplate, Parameter, TemplateElement};

use super::TemplateFault;
use crate::helpers::TICK;

/// What a part of a template stands in, as far as partials are concerned.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Inside {
    Nothing,
    /// A definition of a partial: it may call the block that it was given, and no other partial.
    Definition,
    /// A block that is given to a partial: it may call none.
    Given,
}

/// Makes `{{{x}}}` and `{{&x}}` what `{{x}}` is (nothing is escaped here, and the filter for commands sees all values),
/// counts what every block does, and refuses partials that could call themselves without end.
pub(super) fn adapt(template: &mut Template, inside: Inside) -> Result<(), TemplateFault> {
    for element in &mut template.elements {
        match element {
            TemplateElement::HtmlExpression(expression) => {
                *element = TemplateElement::Expression(expression.clone());
            }
            TemplateElement::HelperBlock(block) => {
                for part in block.template.iter_mut().chain(&mut block.inverse) {
                    adapt(part, inside)?;
                    count_entry(part);
                }
            }
            TemplateElement::DecoratorBlock(block) => {
                block.template.as_mut().map_or(Ok(()), |part| adapt(part, Inside::Definition))?;
            }
            TemplateElement::PartialExpression(call) => {
                let calls_its_block = call.name.as_name() == Some("@partial-block");
                check_partial(
                    inside == Inside::Nothing || (inside == Inside::Definition && calls_its_block),
                )?;
            }
            TemplateElement::PartialBlock(call) => {
                check_partial(inside == Inside::Nothing)?;
                call.template.as_mut().map_or(Ok(()), |part| adapt(part, Inside::Given))?;
            }
            _ => {}
        }
    }
    // Errors in rendering are told without their lines, and thousands of templates wait in memory.
    template.mapping = Vec::new();
    template.elements.shrink_to_fit();
    Ok(())
}

fn check_partial(is_allowed: bool) -> Result<(), TemplateFault> {
    let message = "Template error: a partial inside another could call itself without end";
    if is_allowed { Ok(()) } else { Err(TemplateFault::syntax(message.to_owned())) }
}

/// Puts a call of the counting helper at the beginning of a block: loops inside loops must end.
fn count_entry(part: &mut Template) {
    let name = Parameter::Name(TICK.to_owned());
    let (params, hash) = (Vec::new(), HashMap::new());
    let call =
        ExpressionSpec { name, params, hash, block_param: None, omit_pre_ws: false, omit_pro_ws: false };
    part.elements.insert(0, TemplateElement::Expression(Box::new(HelperTemplate::new(call, false))));
}
