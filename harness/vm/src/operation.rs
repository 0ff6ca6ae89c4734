//! A checkpoint or a restore under way.

use std::time::Duration;

use model::message::{Decision, Event, Reply};

use crate::switchboard::{Call, Incoming};
use crate::{Error, Guest};

/// An operation that tells its steps and waits at phases.
///
/// While it waits, the guest can be asked for other things. Asking for the next event goes on from
/// a phase for which nothing was decided.
///
/// ```no_run
/// # use std::time::Duration;
/// # use model::message::{Decision, Event, Reply, Request};
/// # async fn at(phase: model::Phase) -> bool { true }
/// # async fn example(guest: &vm::Guest, restore: Request) -> Result<Reply, vm::Error> {
/// let mut operation = guest.begin(restore, Duration::from_secs(60)).await?;
/// while let Some(event) = operation.next().await? {
///     match event {
///         Event::Step { name, .. } => eprintln!("{name}"),
///         Event::Phase { phase, .. } if at(phase).await => {}
///         Event::Phase { .. } => operation.decide(Decision::Abort).await?,
///         _ => unreachable!("only programs have streams"),
///     }
/// }
/// operation.finish()
/// # }
/// ```
#[derive(Debug)]
pub struct Operation {
    guest: Guest,
    call: Call,
    during: String,
    patience: Duration,
    waits: bool,
    reply: Option<Reply>,
}

impl Operation {
    pub(crate) fn new(guest: Guest, call: Call, during: String, patience: Duration) -> Operation {
        Operation { guest, call, during, patience, waits: false, reply: None }
    }

    /// The next event; none when the operation has succeeded.
    ///
    /// # Errors
    /// When the operation fails, the guest is silent for too long, breaks the rules or dies.
    pub async fn next(&mut self) -> Result<Option<Event>, Error> {
        if self.reply.is_some() {
            return Ok(None);
        }
        if self.waits {
            self.decide(Decision::Continue).await?;
        }
        let (guest, call, during) = (&self.guest, &mut self.call, &self.during);
        let next = async { Ok(call.next().await) };
        match guest.life().within(during, self.patience, next).await? {
            Incoming::Event(
                event @ (Event::Output { .. } | Event::Taken { .. } | Event::Looked),
            ) => Err(guest.wrong(during, format!("{event:?} out of place"))),
            Incoming::Event(event) => {
                self.waits = matches!(event, Event::Phase { .. } | Event::Waits { .. });
                Ok(Some(event))
            }
            incoming => {
                self.reply = Some(guest.conclude(incoming, during)?);
                Ok(None)
            }
        }
    }

    /// The same operation in a fork of its node, made while the operation was under way: there it
    /// goes on from where it stands here, and whatever becomes of the one is nothing to the other.
    #[must_use]
    pub fn in_fork(&self, fork: &Guest) -> Operation {
        let Operation { during, patience, waits, reply, .. } = self;
        Operation {
            guest: fork.clone(),
            call: fork.take_over(self.call.id),
            during: during.clone(),
            patience: *patience,
            waits: *waits,
            reply: reply.clone(),
        }
    }

    /// Answers the phase at which the operation waits.
    ///
    /// # Errors
    /// When the answer cannot be delivered.
    pub async fn decide(&mut self, decision: Decision) -> Result<(), Error> {
        let (guest, during) = (&self.guest, &self.during);
        let send = guest.proceed(self.call.id, decision, during);
        guest.life().within(during, self.patience, send).await?;
        self.waits = false;
        Ok(())
    }

    /// The answer, after [`Operation::next`] has returned none.
    ///
    /// # Errors
    /// When the operation is not over.
    pub fn finish(self) -> Result<Reply, Error> {
        let Operation { guest, during, reply, .. } = self;
        reply.ok_or_else(|| guest.wrong(&during, "it was not waited for".to_owned()))
    }
}
