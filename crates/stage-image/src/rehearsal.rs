//! Goes through a program without making anything, to find while planning what would fail in the build.

use std::collections::HashMap;
use std::path::Path;

use crate::copy;
use crate::dockerfile::{Dockerfile, DockerfileError};
use crate::embedded::{Problem, Site, Workshop};
use crate::program::{Base, Op, Program, Step};
use crate::tree::Tree;

/// Checks what can be known before images are pulled: that the build context, whose names are in `context`, has what
/// is copied from it, and that variables and words can be read. `args_known` is whether the program has all of the
/// build arguments.
///
/// # Errors
/// The first instruction that would fail.
pub(crate) fn rehearse(
    program: &Program,
    path: &Path,
    context: &Tree,
    args_known: bool,
) -> Result<(), DockerfileError> {
    let pulled = HashMap::new();
    let mut finished: Vec<Workshop> = Vec::new();
    // Whether the variables of each stage are known: an image brings its own.
    let mut known = Vec::new();
    for stage in &program.stages {
        let (mut workshop, is_known) = match &stage.base {
            Base::Scratch => (Workshop::default(), args_known),
            Base::Stage(index) => (Workshop::upon(&finished[*index]), known[*index]),
            Base::Image(_) => (Workshop::default(), false),
        };
        for step in &stage.steps {
            let site = Site { program, context, pulled: &pulled, finished: &finished };
            match workshop.rehearse(step, &site) {
                Err(Problem::Wrong(message)) if is_known || is_literal(step) => {
                    return Err(Dockerfile::error_at(path, step.line, message));
                }
                _ => {}
            }
        }
        finished.push(workshop);
        known.push(is_known);
    }
    Ok(())
}

/// Whether an instruction says the same whatever variables there are.
fn is_literal(step: &Step) -> bool {
    !step.text.contains('$')
}

impl Workshop {
    fn rehearse(&mut self, step: &Step, site: &Site<'_>) -> Result<(), Problem> {
        match &step.op {
            Op::Copy(copy) if copy.from == Base::Scratch => copy::sources(self, copy, site).map(|_| ()),
            Op::Copy(_) => Ok(()),
            Op::Workdir(path) => self.expand(path, site).map(|_| ()).map_err(Problem::from),
            op => self.configure(op, site),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::inputs::Platform;
    use crate::tree::Node;

    /// What is wrong with a Dockerfile whose context has `app` and `static/a.css`.
    fn wrong(text: &str, args_known: bool) -> Option<String> {
        let path = Path::new("Dockerfile");
        let dockerfile = Dockerfile::parse(path, text).expect("a Dockerfile");
        let program = Program::compile(&dockerfile, None, Platform::default(), &BTreeMap::new());
        let mut context = Tree::default();
        for name in ["app", "static/a.css"] {
            context.insert(name, Node::directory());
        }
        let rehearsed = rehearse(&program.expect("a program"), path, &context, args_known);
        rehearsed.err().map(|error| error.to_string())
    }

    const NOTHING: &str = "to copy: it does not exist, or .dockerignore leaves it out";

    #[test]
    fn what_is_missing_in_the_context_is_found_with_its_line() {
        for source in ["app", ".", "/", "./static/", "static/*.css", "a??", "app static/a.css"] {
            assert_eq!(wrong(&format!("FROM scratch\nCOPY {source} /srv/\n"), true), None, "{source}");
        }
        for source in ["ap", "static/b.css", "*.js"] {
            let said = format!("Dockerfile:2: there is no `{source}` {NOTHING}");
            assert_eq!(wrong(&format!("FROM scratch\nCOPY app {source} /srv/\n"), true), Some(said));
        }
    }

    #[test]
    fn variables_are_followed_where_they_are_known() {
        let text = "FROM scratch AS first\nARG NAME=ap\nENV KIND=p\nCOPY ${NAME}${KIND} /\n\
                    FROM first\nCOPY $KIND /\n";
        let said = format!("Dockerfile:6: there is no `p` {NOTHING}");
        assert_eq!(wrong(text, true), Some(said));
        assert_eq!(wrong(text, false), None);
        assert_eq!(
            wrong("FROM scratch\nENV HOME=/x\nCOPY ap /\n", false).map(|said| said.len() > 40),
            Some(true)
        );
    }

    #[test]
    fn what_an_image_brings_is_not_known() {
        let upon = |copy: &str| wrong(&format!("FROM alpine\n{copy}\n"), true);
        assert_eq!(upon("COPY $FROM_THE_IMAGE /"), None);
        assert_eq!(upon("COPY --from=alpine /etc/hosts /"), None);
        assert_eq!(upon("COPY --chown=www-data app /"), None);
        assert_eq!(upon("COPY ap /"), Some(format!("Dockerfile:2: there is no `ap` {NOTHING}")));
    }
}
