//! News from the builders of images, as events of the run.
//!
//! Images are built on a thread of their own, so news crosses by a channel.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use runner::event::Event;
use tokio::sync::mpsc::UnboundedSender;
use vm_images::{Progress, Step};

/// How often a step tells how far it is.
const OFTEN: Duration = Duration::from_millis(500);

/// Makes events of news.
#[derive(Debug)]
pub(crate) struct News(pub(crate) UnboundedSender<Event>);

impl Progress for News {
    fn begin(&self, what: &str) -> Box<dyn Step> {
        tell(&self.0, Event::ImageStarted { name: what.to_owned() });
        Box::new(Making {
            name: what.to_owned(),
            news: self.0.clone(),
            began: Instant::now(),
            told: Mutex::new(None),
        })
    }

    fn note(&self, text: &str) {
        tell(&self.0, Event::ImageNote { text: text.to_owned() });
    }
}

struct Making {
    name: String,
    news: UnboundedSender<Event>,
    began: Instant,
    told: Mutex<Option<Instant>>,
}

impl Step for Making {
    fn say(&self, doing: &str) {
        tell(&self.news, Event::ImageNote { text: format!("{}: {doing}", self.name) });
    }

    fn bytes(&self, done: u64, total: u64) {
        let Ok(mut told) = self.told.lock() else { return };
        if done < total && told.is_some_and(|told| told.elapsed() < OFTEN) {
            return;
        }
        *told = Some(Instant::now());
        let (name, total) = (self.name.clone(), Some(total));
        tell(&self.news, Event::ImageProgress { name, done, total });
    }

    fn finish(self: Box<Self>, result: &str) {
        let ms = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        let (name, result) = (self.name.clone(), result.to_owned());
        tell(&self.news, Event::ImageFinished { name, result, ms });
    }
}

/// A run that is over has no use for news.
fn tell(news: &UnboundedSender<Event>, event: Event) {
    let _ = news.send(event);
}
