//! Running other programs: where they are found, and errors that tell what they said.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use fs_err as fs;

use crate::Error;

/// Lines of standard error that an error carries.
const TOLD_LINES: usize = 12;

/// Where a program is: on the `PATH`, or in the folders for administrators, which users of Debian
/// do not have on it.
pub(crate) fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin", "/sbin", "/usr/bin", "/bin"].map(PathBuf::from))
        .map(|folder| folder.join(program))
        .find(|candidate| is_program(candidate))
}

fn is_program(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|file| file.is_file() && file.permissions().mode() & 0o111 != 0)
}

/// A command for `program`, in the C locale, with no standard input.
pub(crate) fn tool(program: &str) -> Command {
    let mut command = Command::new(find(program).unwrap_or_else(|| program.into()));
    command.env("LC_ALL", "C.UTF-8").stdin(Stdio::null());
    command
}

/// Runs to the end and gives back standard output.
pub(crate) fn output(command: &mut Command) -> Result<String, Error> {
    let mut text = String::new();
    each_line(command, &mut |line| {
        text.push_str(line);
        text.push('\n');
    })?;
    Ok(text)
}

/// Runs to the end; standard output goes nowhere unless the command says otherwise.
pub(crate) fn run(command: &mut Command) -> Result<(), Error> {
    output(command).map(drop)
}

/// Runs to the end and hands over each line of standard output as it comes.
pub(crate) fn each_line(command: &mut Command, tell: &mut dyn FnMut(&str)) -> Result<(), Error> {
    finish(command.stdout(Stdio::piped()), tell)
}

/// Runs to the end with standard output as the command has it.
pub(crate) fn finish(command: &mut Command, tell: &mut dyn FnMut(&str)) -> Result<(), Error> {
    let mut errors = tempfile::tempfile()?;
    let spawned = command.stderr(errors.try_clone()?).spawn();
    let mut child =
        spawned.map_err(|error| failed(command, &format!("cannot start: {error}"), ""))?;
    if let Some(stdout) = child.stdout.take() {
        read_lines(stdout, tell)?;
    }
    let status = child.wait()?;
    if status.success() {
        return Ok(());
    }
    let mut text = Vec::new();
    errors.seek(SeekFrom::Start(0))?;
    errors.read_to_end(&mut text)?;
    Err(failed(command, &format!("failed ({status})"), &String::from_utf8_lossy(&text)))
}

fn read_lines(stdout: impl Read, tell: &mut dyn FnMut(&str)) -> Result<(), Error> {
    let mut reader = BufReader::new(stdout);
    let mut line = Vec::new();
    while reader.read_until(b'\n', &mut line)? > 0 {
        tell(String::from_utf8_lossy(&line).trim_end_matches('\n'));
        line.clear();
    }
    Ok(())
}

fn failed(command: &Command, status: &str, errors: &str) -> Error {
    let words: Vec<_> = [command.get_program()]
        .into_iter()
        .chain(command.get_args())
        .map(OsStr::to_string_lossy)
        .collect();
    let told: String = words.join(" ").chars().take(300).collect();
    let lines: Vec<_> = errors.lines().filter(|line| !line.trim().is_empty()).collect();
    let tail = &lines[lines.len().saturating_sub(TOLD_LINES)..];
    Error::Command { command: told, status: status.to_owned(), output: tail.join("\n") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_tells_the_command_and_what_it_said() {
        let error = run(tool("sh").args(["-c", "echo why >&2; exit 3"])).unwrap_err().to_string();
        assert!(error.contains("-c echo why"), "{error}");
        assert!(error.ends_with("\n    why"), "{error}");
    }

    #[test]
    fn a_program_that_is_not_there_is_named() {
        let error = run(&mut tool("no-such-program")).unwrap_err().to_string();
        assert!(error.contains("no-such-program"), "{error}");
    }
}
