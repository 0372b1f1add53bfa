//! `deb`: a package of Debian's kind from a file, installed by dpkg.

use keros_protocol::executor::TaskResult;

use super::super::copy::check_file;
use super::super::tool::Call;
use super::super::{Action, CheckContext, Failure, Module, Run, Scope};
use super::apt::{Apt, ENVIRONMENT};
use super::archive::Archive;
use super::{Manager as _, check_version};
use crate::fields::Fields;
use crate::template::Text;

#[derive(Debug)]
struct Deb {
    src: Text,
}

pub(in super::super) fn parse(
    fields: &mut Fields<'_, '_>,
    check: &CheckContext<'_>,
) -> Option<Box<dyn Module>> {
    if fields.node("src").is_none() {
        fields.missing("src");
    }
    check_file(fields, check).map(|src| Box::new(Deb { src }) as Box<dyn Module>)
}

impl Module for Deb {
    fn prepare(&self, scope: &mut Scope<'_>) -> Result<Box<dyn Action + '_>, String> {
        Ok(Box::new(Prepared(Archive::prepare(&self.src, scope)?)))
    }
}

struct Prepared(Archive);

impl Action for Prepared {
    fn apply(&mut self, run: &mut Run<'_>) -> Result<TaskResult, Failure> {
        self.0.check(run)?;
        let control = self.control(run)?;
        let name = control.installed_name(run)?;
        self.0.place(&Apt, (&name, &control.version), run, install)
    }
}

fn install(path: &str, run: &mut Run<'_>) -> Result<(), Failure> {
    let arguments = ["--force-confdef", "--force-confold", "-i", path];
    let call = Call { name: "dpkg", arguments: &arguments, environment: ENVIRONMENT, ..Call::default() };
    call.order(run).map(|_| ())
}

impl Prepared {
    /// What the package says of itself. dpkg-deb gets the file's beginning as its input, so that it need not see the file.
    fn control(&self, run: &mut Run<'_>) -> Result<Control, Failure> {
        let file = self.0.path().display();
        let bytes = self.0.read(run)?;
        let wrong = |why| Failure::from(format!("{file} is no Debian package: {why}"));
        let input = up_to_control(&bytes).ok_or_else(|| wrong("no control data in it"))?;
        let arguments = ["-f", "-", "Package", "Version", "Architecture"];
        let call = Call { name: "dpkg-deb", arguments: &arguments, input, ..Call::default() };
        let end = call.ask(run)?;
        if end.exit_code != 0 {
            return Err(call.failed(end));
        }
        let control = Control::parse(&end.output.to_string()).ok_or_else(|| wrong("a field is missing"))?;
        Apt.check_name(&control.package)?;
        check_version(&control.version)?;
        Ok(control)
    }
}

/// A file of Debian's kind is an `ar` archive whose members are `debian-binary`, `control.tar…` and the data. What is returned ends
/// where the data begin.
fn up_to_control(bytes: &[u8]) -> Option<&[u8]> {
    const HEADER_BYTES: usize = 60;
    let mut at = b"!<arch>\n".len();
    bytes.starts_with(b"!<arch>\n").then_some(())?;
    loop {
        let header = bytes.get(at..at.checked_add(HEADER_BYTES)?)?;
        let size: usize = std::str::from_utf8(&header[48..58]).ok()?.trim().parse().ok()?;
        let end = at.checked_add(HEADER_BYTES)?.checked_add(size)?;
        // Members begin at even places.
        at = end.checked_add(size % 2)?;
        if header.starts_with(b"control.tar") {
            return bytes.get(..at.min(bytes.len())).filter(|_| end <= bytes.len());
        }
    }
}

struct Control {
    package: String,
    version: String,
    architecture: String,
}

impl Control {
    fn parse(answer: &str) -> Option<Self> {
        let field = |key: &str| {
            let value = answer.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(": "));
            value.map(|value| value.trim().to_owned())
        };
        Some(Self {
            package: field("Package")?,
            version: field("Version")?,
            architecture: field("Architecture")?,
        })
    }

    /// The name by which dpkg knows the package, when its architecture fits this machine.
    fn installed_name(&self, run: &mut Run<'_>) -> Result<String, Failure> {
        let own = architectures("--print-architecture", run)?;
        if self.architecture == "all" || own.contains(&self.architecture) {
            return Ok(self.package.clone());
        }
        if architectures("--print-foreign-architectures", run)?.contains(&self.architecture) {
            return Ok(format!("{}:{}", self.package, self.architecture));
        }
        let (package, is) = (&self.package, &self.architecture);
        Err(format!("{package} is for {is}, and this machine is {}", own.join(" ")).into())
    }
}

fn architectures(question: &str, run: &mut Run<'_>) -> Result<Vec<String>, Failure> {
    let call = Call { name: "dpkg", arguments: &[question], ..Call::default() };
    let end = call.ask(run)?;
    if end.exit_code != 0 {
        return Err(call.failed(end));
    }
    Ok(end.output.to_string().split_whitespace().map(str::to_owned).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(name: &str, content: &str) -> String {
        let padding = if content.len() % 2 == 1 { "\n" } else { "" };
        format!("{name:<16}{:<12}{:<6}{:<6}{:<8}{:<10}`\n{content}{padding}", 0, 0, 0, 100_644, content.len())
    }

    #[test]
    fn the_beginning_of_a_package_ends_with_its_control_data() {
        let begin =
            format!("!<arch>\n{}{}", member("debian-binary", "2.0\n"), member("control.tar.gz", "odd"));
        let whole = format!("{begin}{}", member("data.tar.gz", "data"));
        assert_eq!(up_to_control(whole.as_bytes()), Some(begin.as_bytes()));
        let hostile = whole.replace("3         `", "9999999999`");
        for bad in ["", "!<arch>\n", "PK", &whole[..80], &whole[..begin.len() - 3], hostile.as_str()] {
            assert_eq!(up_to_control(bad.as_bytes()), None, "{bad:?}");
        }
    }
}
