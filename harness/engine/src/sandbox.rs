//! A pod's sandbox: its namespaces, its link, its `/dev/shm` and its cgroup. There is a process in it
//! only where a pid namespace is shared, which ends with its pid 1.

use model::pod::{Namespace, PodSpec};
use nix::mount::MsFlags;

use crate::cgroup;
use crate::error::{About, Error};
use crate::host::{Host, Mount};
use crate::store::Places;

/// Makes the sandbox. Its link is up and gated.
pub(crate) fn make(host: &dyn Host, places: &Places, spec: &PodSpec) -> Result<(), Error> {
    let folder = places.folder.join("ns");
    fs_err::create_dir_all(&folder).about("make", &folder)?;
    cgroup::make_pod(host, &places.cgroup)?;
    if spec.share.contains(&Namespace::Pid) {
        let holder = places.holder();
        host.make_folder(&holder).about("make cgroup", &holder)?;
    }
    let pinned = host.pin_namespaces(&places.pins(&spec.share), &spec.hostname, &places.holder());
    pinned.about("make namespaces in", &folder)?;
    if let Some(link) = &spec.link {
        let net = places.pin(Namespace::Net);
        host.make_link(&net, link, &places.node_end).about("make link", &places.node_end)?;
    }
    make_shm(host, places, spec)
}

/// The pod's shared memory belongs to the pod, not to one of its containers: every container has
/// the same, and it is carried by the engine, not by CRIU.
fn make_shm(host: &dyn Host, places: &Places, spec: &PodSpec) -> Result<(), Error> {
    let shm = &places.shm;
    fs_err::create_dir_all(shm).about("make", shm)?;
    let mut mount = Mount::new("tmpfs", shm, format!("mode=1777,size={}m", spec.shm_mib));
    mount.source = "shm".into();
    mount.flags |= MsFlags::MS_NOEXEC;
    host.mount(&mount).about("mount", shm)
}

/// Keeps the network out of the pod, or lets it in.
pub(crate) fn gate(
    host: &dyn Host,
    places: &Places,
    spec: &PodSpec,
    open: bool,
) -> Result<(), Error> {
    match spec.link {
        Some(_) => host.gate_link(&places.node_end, open).about("gate link", &places.node_end),
        None => Ok(()),
    }
}

/// Removes what [`make`] has made, as far as it is there.
pub(crate) fn remove(host: &dyn Host, places: &Places) -> Result<(), Error> {
    host.remove_link(&places.node_end).about("remove link", &places.node_end)?;
    host.unmount(&places.shm).about("unmount", &places.shm)?;
    for kind in Namespace::ALL {
        let pin = places.pin(kind);
        host.unmount(&pin).about("unmount", &pin)?;
    }
    let holder = places.holder();
    host.remove_folder(&holder).about("remove cgroup", &holder)
}
