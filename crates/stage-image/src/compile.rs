//! Compiles a Dockerfile into a [`Program`]: chooses the stages, refuses what needs a daemon.

use std::collections::BTreeMap;

use parse_dockerfile::{
    Command, Flag, HealthcheckArguments, Instruction, JsonOrStringArray, Source, Span, UnescapedString,
};

use crate::dockerfile::{Dockerfile, DockerfileError};
use crate::inputs::Platform;
use crate::program::{Base, Copy, CopySource, Op, Program, Run, Stage, Step, split_arg};
use crate::words;

impl Program {
    /// Compiles the stages that `target` (the last stage if none) needs.
    pub(crate) fn compile(
        dockerfile: &Dockerfile<'_>,
        target: Option<&str>,
        platform: Platform,
        build_args: &BTreeMap<String, String>,
    ) -> Result<Self, DockerfileError> {
        let mut program = Self {
            stages: Vec::new(),
            escape: dockerfile.escape(),
            global_args: platform_args(platform),
            build_args: build_args.clone(),
        };
        program.read_global_args(dockerfile)?;
        let mut compiler = Compiler { dockerfile, program, places: BTreeMap::new() };
        let index = compiler.find_target(target)?;
        compiler.stage(index)?;
        Ok(compiler.program)
    }

    fn read_global_args(&mut self, dockerfile: &Dockerfile<'_>) -> Result<(), DockerfileError> {
        for arg in dockerfile.parsed.global_args() {
            for word in words::split(&arg.arguments.value, self.escape) {
                let (name, default) = split_arg(&word);
                let given = self.build_args.get(name).cloned();
                let value = match (given, default) {
                    (Some(given), _) => given,
                    (None, Some(default)) => self.expand_global(dockerfile, &arg.arg.span, default)?,
                    (None, None) => continue,
                };
                self.global_args.insert(name.to_owned(), value);
            }
        }
        Ok(())
    }

    fn expand_global(
        &self,
        dockerfile: &Dockerfile<'_>,
        span: &Span,
        text: &str,
    ) -> Result<String, DockerfileError> {
        words::expand(text, self.escape, &|name| self.global_args.get(name).cloned())
            .map_err(|message| dockerfile.error(span, message))
    }
}

/// docs.docker.com/reference/dockerfile/#automatic-platform-args-in-the-global-scope
fn platform_args(platform: Platform) -> BTreeMap<String, String> {
    let mut args = BTreeMap::new();
    for side in ["TARGET", "BUILD"] {
        args.insert(format!("{side}PLATFORM"), platform.as_str().to_owned());
        args.insert(format!("{side}OS"), "linux".to_owned());
        args.insert(format!("{side}ARCH"), platform.architecture().to_owned());
        args.insert(format!("{side}VARIANT"), String::new());
    }
    args
}

struct Compiler<'a, 'd> {
    dockerfile: &'a Dockerfile<'d>,
    program: Program,
    /// Where each stage that was compiled is in the program, by its index in the file.
    places: BTreeMap<usize, usize>,
}

impl Compiler<'_, '_> {
    fn find_target(&self, target: Option<&str>) -> Result<usize, DockerfileError> {
        let last = self.dockerfile.parsed.stages().len().saturating_sub(1);
        let Some(target) = target else { return Ok(last) };
        self.find_stage(target, last + 1).ok_or_else(|| {
            let names: Vec<&str> = self
                .dockerfile
                .parsed
                .stages()
                .filter_map(|stage| Some(&*stage.from.as_.as_ref()?.1.value))
                .collect();
            let named = match names.as_slice() {
                [] => "none of the stages has a name, which `FROM IMAGE AS NAME` gives".to_owned(),
                names => format!("the stages are: {}", names.join(", ")),
            };
            let message = format!("there is no stage `{target}`; {named}");
            self.dockerfile.error(&(0..0), message)
        })
    }

    /// The stage called `name` (or, for a number, the one with that index) among the first `before`.
    fn find_stage(&self, name: &str, before: usize) -> Option<usize> {
        let named = |stage: &parse_dockerfile::Stage<'_, '_>| {
            stage.from.as_.as_ref().is_some_and(|(_, as_)| as_.value.eq_ignore_ascii_case(name))
        };
        let by_name = self.dockerfile.parsed.stages().take(before).position(|stage| named(&stage));
        by_name.or_else(|| name.parse().ok().filter(|index| *index < before))
    }

    /// Compiles a stage and those that it needs; returns its place in the program.
    fn stage(&mut self, index: usize) -> Result<usize, DockerfileError> {
        if let Some(place) = self.places.get(&index) {
            return Ok(*place);
        }
        let Some(stage) = self.dockerfile.parsed.stages().nth(index) else {
            return Err(self.dockerfile.error(&(0..0), "there is no FROM"));
        };
        let span = &stage.from.from.span;
        let image = self.program.expand_global(self.dockerfile, span, &stage.from.image.value)?;
        if image.is_empty() {
            let message =
                format!("FROM {} names no image: give the build argument a value", stage.from.image.value);
            return Err(self.dockerfile.error(span, message));
        }
        let base = self.base(&image, index)?;
        let mut steps = Vec::new();
        for instruction in stage.instructions {
            steps.push(self.step(instruction, index)?);
        }
        let place = self.program.stages.len();
        self.program.stages.push(Stage { base, steps });
        self.places.insert(index, place);
        Ok(place)
    }

    fn base(&mut self, name: &str, before: usize) -> Result<Base, DockerfileError> {
        if name.eq_ignore_ascii_case("scratch") {
            return Ok(Base::Scratch);
        }
        match self.find_stage(name, before) {
            Some(index) => self.stage(index).map(Base::Stage),
            None => Ok(Base::Image(name.to_owned())),
        }
    }

    fn step(&mut self, instruction: &Instruction<'_>, stage: usize) -> Result<Step, DockerfileError> {
        let span = keyword(instruction);
        let line = self.dockerfile.line(&span);
        let refuse = |message: &str| Err(self.dockerfile.error(&span, message));
        let (text, op) = match instruction {
            Instruction::Arg(i) => (format!("ARG {}", i.arguments.value), Op::Arg(own(&i.arguments))),
            Instruction::Env(i) => (format!("ENV {}", i.arguments.value), Op::Env(own(&i.arguments))),
            Instruction::Label(i) => (format!("LABEL {}", i.arguments.value), Op::Label(own(&i.arguments))),
            Instruction::Copy(i) => self.copy("COPY", &span, &i.options, &i.src, &i.dest, stage)?,
            Instruction::Add(i) => self.copy("ADD", &span, &i.options, &i.src, &i.dest, stage)?,
            Instruction::Workdir(i) => {
                (format!("WORKDIR {}", i.arguments.value), Op::Workdir(own(&i.arguments)))
            }
            Instruction::User(i) => (format!("USER {}", i.arguments.value), Op::User(own(&i.arguments))),
            Instruction::Expose(i) => {
                let ports = owned(&i.arguments);
                (format!("EXPOSE {}", ports.join(" ")), Op::Expose(ports))
            }
            Instruction::Volume(i) => {
                let paths = match &i.arguments {
                    JsonOrStringArray::Json(paths) => owned(&paths.value),
                    JsonOrStringArray::String(paths) => owned(paths),
                };
                (format!("VOLUME {}", paths.join(" ")), Op::Volume(paths))
            }
            Instruction::Entrypoint(i) => {
                let run = self.run(&i.arguments);
                (format!("ENTRYPOINT {run}"), Op::Entrypoint(run))
            }
            Instruction::Cmd(i) => {
                let run = self.run(&i.arguments);
                (format!("CMD {run}"), Op::Cmd(run))
            }
            Instruction::Stopsignal(i) => {
                (format!("STOPSIGNAL {}", i.arguments.value), Op::StopSignal(own(&i.arguments)))
            }
            Instruction::Shell(i) => {
                let shell = owned(&i.arguments);
                (format!("SHELL {}", Run::Exec(shell.clone())), Op::Shell(shell))
            }
            Instruction::Maintainer(i) => (format!("MAINTAINER {}", i.name.value), Op::Author(own(&i.name))),
            Instruction::Healthcheck(i) => {
                let options = i.options.iter().map(|flag| (own(&flag.name), value(flag))).collect();
                match &i.arguments {
                    HealthcheckArguments::Cmd { arguments, .. } => {
                        let run = self.run(arguments);
                        (format!("HEALTHCHECK CMD {run}"), Op::Healthcheck(options, Some(run)))
                    }
                    _ => ("HEALTHCHECK NONE".to_owned(), Op::Healthcheck(options, None)),
                }
            }
            Instruction::Run(_) => {
                return refuse(
                    "RUN needs a Docker daemon: start one, or make what RUN makes before the image is built and \
                     COPY it (the embedded builder runs nothing)",
                );
            }
            Instruction::Onbuild(_) => {
                return refuse("ONBUILD needs a Docker daemon: start one, or remove it");
            }
            _ => return refuse("the embedded builder does not know this instruction: start a Docker daemon"),
        };
        Ok(Step { line, text, op })
    }

    fn copy(
        &mut self,
        keyword: &str,
        span: &Span,
        options: &[Flag<'_>],
        sources: &[Source<'_>],
        destination: &UnescapedString<'_>,
        stage: usize,
    ) -> Result<(String, Op), DockerfileError> {
        let unpack = keyword == "ADD";
        let mut copy = Copy {
            from: Base::Scratch,
            sources: Vec::new(),
            destination: own(destination),
            chown: None,
            chmod: None,
            unpack,
        };
        for flag in options {
            let value = value(flag);
            match &*flag.name.value {
                "from" if !unpack => {
                    let name = self.program.expand_global(self.dockerfile, span, &value)?;
                    copy.from = self.base(&name, stage)?;
                }
                "chown" => copy.chown = Some(value),
                "chmod" => match u32::from_str_radix(&value, 8) {
                    Ok(mode) if mode <= 0o7777 => copy.chmod = Some(mode),
                    _ => {
                        return Err(self
                            .dockerfile
                            .error(span, format!("--chmod={value} is not an octal mode such as 0755")));
                    }
                },
                // Links or copies: the result is the same.
                "link" => {}
                other => {
                    let message =
                        format!("the embedded builder does not know --{other}: start a Docker daemon");
                    return Err(self.dockerfile.error(span, message));
                }
            }
        }
        for source in sources {
            copy.sources.push(match source {
                Source::Path(path) if unpack && is_remote(&path.value) => {
                    let message = format!("ADD {} loads from the network, which needs a Docker daemon: start one, or load it before", path.value);
                    return Err(self.dockerfile.error(span, message));
                }
                Source::Path(path) => CopySource::Path(own(path)),
                Source::HereDoc(text) => CopySource::Text(text.value.to_string(), text.expand),
                _ => return Err(self.dockerfile.error(span, "the embedded builder does not know this kind of source")),
            });
        }
        let names: Vec<&str> =
            copy.sources.iter().map(|s| if let CopySource::Path(path) = s { path } else { "<<" }).collect();
        Ok((format!("{keyword} {} {}", names.join(" "), copy.destination), Op::Copy(copy)))
    }

    fn run(&self, command: &Command<'_>) -> Run {
        match command {
            Command::Exec(words) => Run::Exec(owned(&words.value)),
            Command::Shell(text) => {
                let continued = format!("{}\n", self.program.escape);
                Run::Shell(text.value.replace(&continued, ""))
            }
            _ => Run::Exec(Vec::new()),
        }
    }
}

fn own(text: &UnescapedString<'_>) -> String {
    text.value.to_string()
}

fn owned(texts: &[UnescapedString<'_>]) -> Vec<String> {
    texts.iter().map(own).collect()
}

fn value(flag: &Flag<'_>) -> String {
    flag.value.as_ref().map(own).unwrap_or_default()
}

fn is_remote(source: &str) -> bool {
    ["http://", "https://", "git@", "git://", "ssh://"].iter().any(|scheme| source.starts_with(scheme))
}

fn keyword(instruction: &Instruction<'_>) -> Span {
    let keyword = match instruction {
        Instruction::Add(i) => &i.add,
        Instruction::Arg(i) => &i.arg,
        Instruction::Cmd(i) => &i.cmd,
        Instruction::Copy(i) => &i.copy,
        Instruction::Entrypoint(i) => &i.entrypoint,
        Instruction::Env(i) => &i.env,
        Instruction::Expose(i) => &i.expose,
        Instruction::From(i) => &i.from,
        Instruction::Healthcheck(i) => &i.healthcheck,
        Instruction::Label(i) => &i.label,
        Instruction::Maintainer(i) => &i.maintainer,
        Instruction::Onbuild(i) => &i.onbuild,
        Instruction::Run(i) => &i.run,
        Instruction::Shell(i) => &i.shell,
        Instruction::Stopsignal(i) => &i.stopsignal,
        Instruction::User(i) => &i.user,
        Instruction::Volume(i) => &i.volume,
        Instruction::Workdir(i) => &i.workdir,
        _ => return 0..0,
    };
    keyword.span.clone()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn compile(text: &str, target: Option<&str>) -> Result<Program, DockerfileError> {
        let dockerfile = Dockerfile::parse(Path::new("app/Dockerfile"), text)?;
        let args = BTreeMap::from([("BASE".to_owned(), "example.com/base:1".to_owned())]);
        Program::compile(&dockerfile, target, Platform::LinuxAmd64, &args)
    }

    #[test]
    fn errors_say_where_and_what_to_do() {
        let wrong = [
            ("", None),
            ("FORM scratch\n", None),
            ("COPY a /\n", None),
            ("FROM scratch\nCOPY a\n", None),
            ("FROM scratch\nBOGUS x\n", None),
            ("FROM scratch\n\n# make it\nRUN make \\\n  all\n", None),
            ("FROM scratch\nADD https://example.com/a.tar.gz /\n", None),
            ("FROM scratch\nCOPY --chmod=u+x a /\n", None),
            ("FROM scratch\nCOPY --parents a /\n", None),
            ("FROM scratch\nONBUILD RUN x\n", None),
            ("ARG IMAGE\nFROM ${IMAGE}\n", None),
            ("FROM scratch AS build\n", Some("test")),
            ("FROM scratch\nFROM scratch\n", Some("test")),
        ];
        let messages: Vec<String> =
            wrong.iter().map(|(text, target)| compile(text, *target).expect_err(text).to_string()).collect();
        insta::assert_snapshot!(messages.join("\n"));
    }

    #[test]
    fn only_the_stages_that_the_target_needs_are_compiled() {
        let text = "ARG BASE=x\nFROM golang AS build\nRUN make\nFROM scratch AS files\nCOPY a /\n\
                    FROM $BASE AS last\nCOPY --from=files /a /\nCOPY --from=1 /a /b\nCOPY --from=alpine:3 /etc /\n";
        let program = compile(text, None).expect("compiles");
        assert_eq!(program.stages.len(), 2);
        assert_eq!(program.stages[1].base, Base::Image("example.com/base:1".into()));
        assert_eq!(program.images().into_iter().collect::<Vec<_>>(), ["alpine:3", "example.com/base:1"]);
        let froms: Vec<Base> = program.stages[1]
            .steps
            .iter()
            .filter_map(|step| if let Op::Copy(copy) = &step.op { Some(copy.from.clone()) } else { None })
            .collect();
        assert_eq!(froms, [Base::Stage(0), Base::Stage(0), Base::Image("alpine:3".into())]);
        assert_eq!(compile(text, Some("FILES")).expect("compiles").stages.len(), 1);
        assert!(compile(text, Some("build")).is_err());
    }
}
