//! Listing the files below a folder.

use std::path::Path;

use fs_err as fs;
use model::message::Reply;

/// Names of all plain files below a folder, relative to it, in order. Links are not followed.
pub(super) fn list(folder: &Path) -> anyhow::Result<Reply> {
    let mut names = Vec::new();
    collect(folder, "", &mut names)?;
    names.sort();
    Ok(Reply::Names(names))
}

fn collect(folder: &Path, prefix: &str, names: &mut Vec<String>) -> anyhow::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
        let kind = entry.file_type()?;
        if kind.is_dir() {
            collect(&entry.path(), &format!("{name}/"), names)?;
        } else if kind.is_file() {
            names.push(name);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_files_are_named_from_the_folder_on() {
        let folder = tempfile::tempdir().expect("a folder");
        fs::create_dir_all(folder.path().join("a/b")).expect("made");
        for name in ["z", "a/b/deep", "a/x"] {
            fs::write(folder.path().join(name), "").expect("written");
        }
        std::os::unix::fs::symlink("z", folder.path().join("link")).expect("linked");
        let expected = ["a/b/deep", "a/x", "z"].map(str::to_owned).to_vec();
        assert_eq!(list(folder.path()).expect("listed"), Reply::Names(expected));
    }

    #[test]
    fn a_missing_folder_is_named() {
        let error = list(Path::new("/nonexistent")).expect_err("missing");
        assert!(format!("{error:#}").contains("/nonexistent"), "{error:#}");
    }
}
