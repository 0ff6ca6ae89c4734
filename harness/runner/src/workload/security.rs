//! `[security]` of a `workload.toml`: what confines a workload's programs.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::str::FromStr;

use caps::Capability;
use model::pod::{Capabilities, Security, UserNamespace};
use serde::Deserialize;
use toml::Spanned;

use super::file::{Reader, WorkloadError};
use super::seccomp;

/// `[security]` as it is written.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SecurityFile {
    capabilities: Option<CapabilitiesText>,
    #[serde(default)]
    no_new_privs: bool,
    seccomp: Option<Spanned<PathBuf>>,
    apparmor: Option<ProfileFile>,
    user_namespace: Option<Spanned<UserNamespace>>,
    /// Read only to be refused later.
    pub(super) selinux: Option<toml::Value>,
}

/// `apparmor = { profile = "NAME", file = "FILE" }`: the profile, and the file that defines it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ProfileFile {
    profile: Spanned<String>,
    file: Spanned<PathBuf>,
}

/// `capabilities = ["CAP_CHOWN"]`, or a table with the sets of OCI's runtime specification.
#[derive(Deserialize)]
#[serde(try_from = "CapabilitiesForm")]
struct CapabilitiesText(Capabilities);

#[derive(Deserialize)]
#[serde(untagged)]
enum CapabilitiesForm {
    All(BTreeSet<String>),
    Sets(Capabilities),
}

impl TryFrom<CapabilitiesForm> for CapabilitiesText {
    type Error = String;

    fn try_from(given: CapabilitiesForm) -> Result<Self, String> {
        let sets = match given {
            CapabilitiesForm::All(all) => Capabilities {
                bounding: all.clone(),
                permitted: all.clone(),
                effective: all,
                ..Capabilities::default()
            },
            CapabilitiesForm::Sets(sets) => sets,
        };
        for (set, names) in sets.sets() {
            if let Some(name) = names.iter().find(|name| Capability::from_str(name).is_err()) {
                return Err(format!("`capabilities`: {set}: there is no capability \"{name}\""));
            }
        }
        within("effective", &sets.effective, "permitted", &sets.permitted)?;
        within("ambient", &sets.ambient, "permitted", &sets.permitted)?;
        within("ambient", &sets.ambient, "inheritable", &sets.inheritable)?;
        within("inheritable", &sets.inheritable, "bounding", &sets.bounding)?;
        within("permitted", &sets.permitted, "bounding", &sets.bounding)?;
        Ok(CapabilitiesText(sets))
    }
}

/// One set is a part of another: what the kernel wants of some, and what any of them is worth by
/// the time at which a program runs.
fn within(
    part: &str,
    names: &BTreeSet<String>,
    whole: &str,
    all: &BTreeSet<String>,
) -> Result<(), String> {
    match names.difference(all).next() {
        Some(name) => Err(format!("`capabilities`: {name} is {part} and not {whole}")),
        None => Ok(()),
    }
}

impl Reader<'_> {
    /// What confines the workload, and the source of its profile.
    pub(super) fn security(
        &self,
        file: SecurityFile,
    ) -> Result<(Security, Option<PathBuf>), WorkloadError> {
        let filters = file.seccomp.map(|profile| {
            let path = self.beside("security.seccomp", &profile)?;
            let text = std::fs::read_to_string(&path);
            let filters = text.map_err(|error| error.to_string());
            filters.and_then(|text| seccomp::compile(&text)).map_err(|why| {
                let name = profile.get_ref().display();
                self.wrong(profile.span(), format!("`security.seccomp`: {name}: {why}"))
            })
        });
        let ids = file.user_namespace.map(|ids| self.user_namespace(&ids)).transpose()?;
        let profile = file.apparmor.map(|profile| self.profile(&profile)).transpose()?;
        let (apparmor, source) = profile.unzip();
        let security = Security {
            capabilities: file.capabilities.map(|text| text.0),
            no_new_privs: file.no_new_privs,
            seccomp: filters.transpose()?.unwrap_or_default(),
            apparmor,
            user_namespace: ids,
        };
        Ok((security, source))
    }

    /// Name and source of a profile, which the source defines.
    fn profile(&self, given: &ProfileFile) -> Result<(String, PathBuf), WorkloadError> {
        let path = self.beside("security.apparmor.file", &given.file)?;
        let name = given.profile.get_ref();
        let text = std::fs::read_to_string(&path).unwrap_or_default();
        let defined = |line: &str| {
            let mut words = line.split_whitespace();
            words.next() == Some("profile") && words.next() == Some(name)
        };
        if text.lines().any(defined) {
            return Ok((name.clone(), path));
        }
        let file = given.file.get_ref().display();
        let message = format!("`security.apparmor`: {file} defines no profile \"{name}\"");
        Err(self.wrong(given.profile.span(), message))
    }

    /// Root of the node must not be in it, or it would be root there too.
    fn user_namespace(&self, ids: &Spanned<UserNamespace>) -> Result<UserNamespace, WorkloadError> {
        let UserNamespace { uid, gid, count } = *ids.get_ref();
        let end = u64::from(uid.max(gid)) + u64::from(count);
        if uid > 0 && gid > 0 && count > 0 && end < u64::from(u32::MAX) {
            return Ok(*ids.get_ref());
        }
        let message = "`security.user_namespace` wants ids above 0, and at least one".to_owned();
        Err(self.wrong(ids.span(), message))
    }
}
