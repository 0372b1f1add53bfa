//! The guide to playbooks, which the update page points to: the same text as in `docs/`, made HTML.

use std::collections::BTreeSet;

use askama::Template;
use axum::response::Response;
use pulldown_cmark::{CowStr, Event, HeadingLevel, Options, Parser, Tag, TagEnd, html::push_html};

use super::{Failure, Page, Section, Visitor, html};

const GUIDE: &str = include_str!("../../../docs/jetporch.md");

#[derive(Template)]
#[template(path = "help.html")]
struct Help {
    page: Page,
    guide: Guide,
}

/// A text in HTML.
#[derive(Debug, Default)]
struct Guide {
    html: String,
    /// Its parts: id and heading.
    parts: Vec<(String, String)>,
}

pub(super) async fn jetporch(visitor: Visitor) -> Result<Response, Failure> {
    let page = Page::new(&visitor, Section::None, "How playbooks are written");
    html(&Help { page, guide: Guide::of(GUIDE) })
}

impl Guide {
    /// Of a text of the project. What is HTML in it is shown as text; links to other files lead nowhere from here and are left out.
    fn of(markdown: &str) -> Self {
        let mut guide = Self::default();
        let mut ids = BTreeSet::new();
        let mut events: Vec<Event<'_>> = Vec::new();
        let mut heading: Option<usize> = None;
        for event in Parser::new_ext(markdown, Options::ENABLE_TABLES) {
            match event {
                // The page has its own first heading.
                Event::Start(Tag::Heading { level: HeadingLevel::H1, .. }) => heading = Some(events.len()),
                Event::End(TagEnd::Heading(HeadingLevel::H1)) => {
                    events.truncate(heading.take().unwrap_or_default());
                }
                Event::Start(Tag::Heading { level, .. }) => {
                    heading = Some(events.len());
                    let (classes, attrs) = (Vec::new(), Vec::new());
                    events.push(Event::Start(Tag::Heading { level, id: None, classes, attrs }));
                }
                Event::End(TagEnd::Heading(level)) => {
                    let begin = heading.take().unwrap_or_default();
                    let text: String = events.iter().skip(begin).filter_map(text_of).collect();
                    let name = id_of(&text, &mut ids);
                    if let Some(Event::Start(Tag::Heading { id, .. })) = events.get_mut(begin) {
                        *id = Some(CowStr::from(name.clone()));
                    }
                    if level == HeadingLevel::H2 {
                        guide.parts.push((name, text));
                    }
                    events.push(Event::End(TagEnd::Heading(level)));
                }
                Event::Start(Tag::Link { .. }) | Event::End(TagEnd::Link) => {}
                Event::Html(text) | Event::InlineHtml(text) => events.push(Event::Text(text)),
                // Wide ones are scrolled, also by keyboard.
                Event::Start(Tag::Table(columns)) => {
                    events.push(scrolled());
                    events.push(Event::Start(Tag::Table(columns)));
                }
                Event::Start(Tag::CodeBlock(kind)) => {
                    events.push(scrolled());
                    events.push(Event::Start(Tag::CodeBlock(kind)));
                }
                Event::End(end @ (TagEnd::Table | TagEnd::CodeBlock)) => {
                    events.push(Event::End(end));
                    events.push(Event::Html("</div>\n".into()));
                }
                event => events.push(event),
            }
        }
        push_html(&mut guide.html, events.into_iter());
        guide
    }
}

fn scrolled() -> Event<'static> {
    Event::Html("<div class=\"scrolled\" tabindex=\"0\">".into())
}

fn text_of<'a>(event: &'a Event<'_>) -> Option<&'a str> {
    match event {
        Event::Text(text) | Event::Code(text) => Some(text),
        _ => None,
    }
}

/// An id that no other heading has.
fn id_of(heading: &str, ids: &mut BTreeSet<String>) -> String {
    let words = heading.split(|letter: char| !letter.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    let mut id = words.collect::<Vec<_>>().join("-").to_ascii_lowercase();
    while !ids.insert(id.clone()) {
        id.push_str("-more");
    }
    id
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_becomes_html_with_a_list_of_its_parts() {
        let text = "# Title\nSee [there](x.md) <b>now</b>.\n## One `two`\n```yaml\na: <b>\n```\n## One two\n\n| a |\n| --- |\n| b |\n";
        let guide = Guide::of(text);
        let parts = [("one-two", "One two"), ("one-two-more", "One two")];
        assert_eq!(guide.parts, parts.map(|(id, text)| (id.to_owned(), text.to_owned())));
        for part in
            ["<p>See there &lt;b&gt;now&lt;/b&gt;.</p>", "<h2 id=\"one-two\">", "a: &lt;b&gt;", "<table>"]
        {
            assert!(guide.html.contains(part), "{part}: {}", guide.html);
        }
        assert!(!guide.html.contains("<h1") && !guide.html.contains("x.md"), "{}", guide.html);
    }

    #[test]
    fn the_guide_has_parts_tables_and_no_link_that_leads_nowhere() {
        let guide = Guide::of(GUIDE);
        assert!(guide.parts.len() > 5 && guide.html.contains("<table>"), "{:?}", guide.parts);
        assert!(!guide.html.contains("<a ") && !guide.html.contains("<script"), "{}", guide.html);
    }
}
