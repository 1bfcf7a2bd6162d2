//! Which rules fit which file: a script is read otherwise than a text. Decides by name, first line and fences only.

use std::sync::LazyLock;

use regex::bytes::Regex;

/// Whether a line may be a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Commands {
    /// The line of a script that a machine runs.
    Script,
    /// The line of a shell example within a text, which a person copies.
    Fenced,
    /// Something else.
    No,
}

/// How literals are written in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Literals {
    /// As in code: a bare word is a name, not a value.
    Quoted,
    /// As in settings: a bare word is a value.
    Bare,
}

/// The kind of a file, and where in it we are.
#[derive(Debug)]
pub(super) enum Kind {
    /// Shell, make, container and pipeline files.
    Script,
    /// Settings.
    Settings,
    /// A text with fenced examples.
    Prose(Option<Fence>),
    /// Everything else.
    Code,
}

/// An open fence: the character it is made of, and what it holds.
#[derive(Debug, Clone, Copy)]
pub(super) struct Fence {
    mark: u8,
    commands: Commands,
}

const SCRIPT_ENDINGS: [&str; 9] = ["sh", "bash", "zsh", "ksh", "fish", "command", "mk", "dockerfile", "bats"];
const SCRIPT_NAMES: [&str; 16] = [
    "makefile",
    "gnumakefile",
    "justfile",
    "dockerfile",
    "containerfile",
    "jenkinsfile",
    "pkgbuild",
    ".gitlab-ci.yml",
    ".travis.yml",
    "azure-pipelines.yml",
    "bitbucket-pipelines.yml",
    ".bashrc",
    ".bash_profile",
    ".zshrc",
    ".profile",
    ".envrc",
];
const SCRIPT_FOLDERS: [&str; 4] = [".github/workflows/", ".github/actions/", ".circleci/", ".husky/"];
const SETTINGS_ENDINGS: [&str; 9] =
    ["ini", "cfg", "conf", "config", "properties", "yml", "yaml", "toml", "env"];
const PROSE_ENDINGS: [&str; 7] = ["md", "markdown", "mdx", "rst", "txt", "adoc", "tex"];
const SHELL_FENCES: [&str; 8] =
    ["sh", "bash", "zsh", "shell", "console", "shell-session", "shellsession", "terminal"];

#[expect(clippy::expect_used, reason = "a constant pattern, compiled by every test")]
static SHELL_SHEBANG: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"^(?-u)#!.*[/ ](?:ba|z|da|k)?sh(?:\s|$)").expect("a valid pattern"));

impl Kind {
    pub(super) fn of(path: &str, bytes: &[u8]) -> Self {
        let path = path.to_ascii_lowercase();
        let name = path.rsplit('/').next().unwrap_or_default();
        let ending = name.rsplit_once('.').map_or("", |(_, ending)| ending);
        let first = bytes.split(|byte| *byte == b'\n').next().unwrap_or_default();
        let in_script_folder = SCRIPT_FOLDERS.iter().any(|folder| {
            path.starts_with(folder) || path.match_indices(folder).any(|(at, _)| path[..at].ends_with('/'))
        });
        if PROSE_ENDINGS.contains(&ending) {
            Self::Prose(None)
        } else if in_script_folder
            || SCRIPT_ENDINGS.contains(&ending)
            || SCRIPT_NAMES.contains(&name)
            || name.starts_with("dockerfile.")
            || SHELL_SHEBANG.is_match(&first[..first.len().min(256)])
        {
            Self::Script
        } else if SETTINGS_ENDINGS.contains(&ending) || name.starts_with(".env") {
            Self::Settings
        } else {
            Self::Code
        }
    }

    /// Takes the next line and says whether it may be a command.
    pub(super) fn next_line(&mut self, line: &[u8]) -> Commands {
        match self {
            Self::Script => Commands::Script,
            Self::Settings | Self::Code => Commands::No,
            Self::Prose(fence) => step(fence, line.trim_ascii_start()),
        }
    }

    pub(super) const fn literals(&self) -> Literals {
        match self {
            Self::Script | Self::Settings => Literals::Bare,
            Self::Prose(_) | Self::Code => Literals::Quoted,
        }
    }
}

/// A fence is three or more backticks or tildes; it closes at the next bare one of its own kind (CommonMark 4.5).
fn step(fence: &mut Option<Fence>, line: &[u8]) -> Commands {
    let mark = line.first().copied().filter(|byte| matches!(byte, b'`' | b'~'));
    let marks = line.iter().take_while(|byte| Some(**byte) == mark).count();
    let (Some(mark), true) = (mark, marks >= 3) else {
        return fence.map_or(Commands::No, |open| open.commands);
    };
    let label = line[marks..].trim_ascii();
    match fence {
        None => *fence = Some(Fence { mark, commands: commands_of(label) }),
        Some(open) if open.mark == mark && label.is_empty() => *fence = None,
        Some(_) => {}
    }
    Commands::No
}

fn commands_of(label: &[u8]) -> Commands {
    let word = label.split(|byte| matches!(byte, b' ' | b',' | b'{' | b'}')).find(|word| !word.is_empty());
    let word = word.unwrap_or_default().to_ascii_lowercase();
    let is_shell =
        SHELL_FENCES.iter().any(|name| word.strip_prefix(b".").unwrap_or(&word) == name.as_bytes());
    if is_shell { Commands::Fenced } else { Commands::No }
}
