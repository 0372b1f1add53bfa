//! The size of the terminal, and how a block of lines is drawn again in place.

use std::io::{self, BufRead as _, IsTerminal as _, Read as _, Write};

/// What a terminal shows at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Size {
    pub(crate) columns: usize,
    pub(crate) rows: usize,
}

/// The size of the terminal on standard output; `None` when there is none, or it cannot draw in place.
pub(super) fn size() -> Option<Size> {
    if !io::stdout().is_terminal() || std::env::var_os("TERM").is_none_or(|term| term == "dumb") {
        return None;
    }
    let size = rustix::termios::tcgetwinsize(io::stdout()).ok()?;
    let size = Size { columns: size.ws_col.into(), rows: size.ws_row.into() };
    (size.columns >= 40 && size.rows >= 10).then_some(size)
}

/// Whether somebody can be asked.
pub(super) fn can_ask() -> bool {
    io::stdin().is_terminal() && io::stderr().is_terminal()
}

/// Asks for a yes; anything else, also the end of the input, is a no.
pub(super) fn ask(question: &str) -> io::Result<bool> {
    write!(io::stderr(), "{question} [y/N] ")?;
    let mut answer = String::new();
    io::stdin().lock().take(64).read_line(&mut answer)?;
    Ok(matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes"))
}

/// A block of lines that is drawn over the one before.
#[derive(Debug, Default)]
pub(super) struct Block {
    drawn_lines: usize,
}

impl Block {
    /// Draws the lines; each must fit into one row of the terminal.
    pub(super) fn draw(&mut self, out: &mut dyn Write, lines: &[String]) -> io::Result<()> {
        let mut text = String::new();
        if self.drawn_lines > 0 {
            // Up to the first line of the block; erase from there to the end of the screen.
            text.push_str(&format!("\x1b[{}A\x1b[J", self.drawn_lines));
        }
        for line in lines {
            text.push_str(line);
            text.push('\n');
        }
        self.drawn_lines = lines.len();
        out.write_all(text.as_bytes())?;
        out.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_is_drawn_over_the_one_before() {
        let (mut block, mut out) = (Block::default(), Vec::new());
        block.draw(&mut out, &["a".to_owned(), "b".to_owned()]).unwrap();
        block.draw(&mut out, &["c".to_owned()]).unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), "a\nb\n\x1b[2A\x1b[Jc\n");
    }
}
