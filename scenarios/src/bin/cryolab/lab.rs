//! `cryolab lab`: machines that stand until they are taken down, for people and for scripts.
//!
//! ```text
//!  lab up ──(detach)──> supervisor ── QEMU a, b, c ...      owns machines, switch and disks
//!                          │ lab.sock                       in target/cryolab/lab/
//!  lab exec, cut, ... ─────┘                                one connection a command
//! ```
//!
//! `up` leaves the [supervisor] behind; every other command asks it over its socket. A lab belongs
//! to its checkout, of which [`home`] knows the place. A cell of `e2e` that is left standing is a
//! lab of the same form.

mod client;
mod connection;
mod cp;
mod down;
mod exec;
pub(crate) mod home;
mod images;
mod logs;
mod protocol;
mod reboot;
mod session;
mod signals;
mod status;
pub(crate) mod supervisor;
mod terminal;
mod up;

use self::client::{ask, let_befall, wait_for};
use self::protocol::{Ends, NodeFate, Request, WireFate};
use crate::arguments::lab::{Between, LabCommand, Wire};
use crate::detach;
use crate::status::Exit;

/// Does what was asked for.
pub(crate) fn run(command: &LabCommand) -> Result<u8, Exit> {
    match command {
        LabCommand::Up(wanted) => detach::foreground(|handle| up::up(wanted, handle)),
        LabCommand::Enter { node } => exec::enter(node),
        LabCommand::Exec { terminal, node, command } => exec::exec(node, command, *terminal),
        LabCommand::Cp { from, to } => cp::copy(from, to),
        LabCommand::Logs { node, follow } => logs::show(node, *follow),
        LabCommand::Status { json } => status::show(*json),
        LabCommand::Cut(between) => wire(between, WireFate::Cut),
        LabCommand::Heal(between) => wire(between, WireFate::Heal),
        LabCommand::Wire(wanted) => shape(wanted),
        LabCommand::PowerCut { node, stay_down } => {
            befall(node, NodeFate::PowerCut { stay_down: *stay_down })
        }
        LabCommand::Reboot { node, kernel, modules } => {
            reboot::reboot(node, kernel.as_deref(), modules.as_deref())
        }
        LabCommand::Reset { node } => befall(node, NodeFate::Reset),
        LabCommand::Panic { node } => befall(node, NodeFate::Panic),
        LabCommand::Snapshot { name } => done(Request::Snapshot { name: name.clone() }),
        LabCommand::Fork { name, replace } => {
            done(Request::Fork { name: name.clone(), replace: *replace })
        }
        LabCommand::Down { json } => down::down(*json),
    }
}

fn befall(node: &str, fate: NodeFate) -> Result<u8, Exit> {
    wait_for(let_befall(node, fate)).map(|()| 0)
}

fn done(request: Request) -> Result<u8, Exit> {
    wait_for(ask(request)).map(|_| 0)
}

fn wire(between: &Between, fate: WireFate) -> Result<u8, Exit> {
    let Between { from, to, one_way } = between;
    let wire = Ends { from: from.clone(), to: to.clone(), one_way: *one_way };
    done(Request::Wire { wire, fate })
}

fn shape(wanted: &Wire) -> Result<u8, Exit> {
    wire(&wanted.between, WireFate::Shape(wanted.shape.shape(), wanted.seed))
}
