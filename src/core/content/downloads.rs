//! Owns the places of downloads: so many at once, and so many of one client. Where they are short, the largest holder
//! gives way to a smaller one.

use std::array;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use parking_lot::Mutex;

use crate::core::grant::Client;
use crate::core::holdings::Holdings;
use crate::core::metric::Counter;
use crate::core::places::Place;

/// The downloads under way. A clone is another handle to the same places.
#[derive(Clone)]
pub struct Downloads(Arc<Shared>);

struct Shared {
    max: usize,
    most: AtomicU32,
    table: Mutex<Table>,
    ends: [Counter; ENDS.len()],
    bytes: Counter,
}

#[derive(Default)]
struct Table {
    open: usize,
    holdings: Holdings<Arc<Place>>,
}

/// How a download has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Complete,
    /// The upstream broke off, or the content is longer or slower than the settings allow.
    Broken,
    /// The client left, or reads no more.
    Left,
    GaveWay,
}

const ENDS: [&str; 4] = ["complete", "broken", "left", "gave_way"];

/// The reason why there is no place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoPlace {
    /// The client has as many as one may have.
    OfClient,
    /// All are taken, and no other client has more.
    OfAll,
}

/// The place of one download, free again when it is dropped.
pub struct Download {
    shared: Arc<Shared>,
    client: Client,
    number: u64,
    /// `None` while nothing is passed on.
    end: Option<End>,
}

impl Downloads {
    /// At most `max` at once, and `most` of one client; `None` is no limit.
    pub fn new(max: usize, most: Option<u32>) -> Self {
        let downloads = Self(Arc::new(Shared {
            max,
            most: AtomicU32::default(),
            table: Mutex::default(),
            ends: array::from_fn(|_| Counter::default()),
            bytes: Counter::default(),
        }));
        downloads.renew(most);
        downloads
    }

    /// Replaces the limit of one client. Downloads under way go on.
    pub fn renew(&self, most: Option<u32>) {
        self.0.most.store(most.unwrap_or(u32::MAX), Ordering::Relaxed);
    }

    /// A place for another download. Where all are taken, the oldest download of the client with most ends, if it had more
    /// than this client has then: so no two clients take places from each other in turn. Its connection is cut, and its
    /// client may resume.
    ///
    /// # Errors
    /// [`NoPlace`].
    pub fn open(&self, client: &Client, place: &Arc<Place>) -> Result<Download, NoPlace> {
        let mut table = self.0.table.lock();
        let held = table.holdings.of(client);
        if held >= self.0.most.load(Ordering::Relaxed) as usize {
            return Err(NoPlace::OfClient);
        }
        if table.open >= self.0.max {
            let largest =
                table.holdings.largest().filter(|(size, _)| held + 1 < *size).map(|(_, holder)| holder);
            let (holder, number, victim) = largest
                .and_then(|holder| {
                    let (number, victim) = table.holdings.first(holder)?;
                    Some((holder.clone(), number, Arc::clone(victim)))
                })
                .ok_or(NoPlace::OfAll)?;
            table.remove(&holder, number);
            self.0.ends[End::GaveWay as usize].add();
            victim.give_up();
        }
        table.open += 1;
        let number = table.holdings.insert(client, Arc::clone(place));
        Ok(Download { shared: Arc::clone(&self.0), client: client.clone(), number, end: None })
    }

    /// The number of downloads under way.
    pub fn count(&self) -> usize {
        self.0.table.lock().open
    }

    /// The bytes handed out since the start.
    pub fn bytes(&self) -> u64 {
        self.0.bytes.get()
    }

    /// The downloads that have ended, by how.
    pub fn ends(&self) -> impl Iterator<Item = (&'static str, u64)> {
        ENDS.into_iter().zip(self.0.ends.iter().map(Counter::get))
    }
}

impl Table {
    fn remove(&mut self, client: &Client, number: u64) -> bool {
        let was_there = self.holdings.remove(client, number);
        if was_there {
            self.open -= 1;
        }
        was_there
    }
}

impl Download {
    /// The bytes begin to pass.
    pub fn begin(&mut self) {
        self.end = Some(End::Left);
    }

    /// So many bytes go to the client.
    pub fn sent(&self, bytes: u64) {
        self.shared.bytes.add_many(bytes);
    }

    /// The last byte was sent.
    pub fn complete(&mut self) {
        self.end = Some(End::Complete);
    }

    /// No more bytes come from the upstream.
    pub fn broken(&mut self) {
        self.end = Some(End::Broken);
    }
}

impl Drop for Download {
    fn drop(&mut self) {
        let had_its_place = self.shared.table.lock().remove(&self.client, self.number);
        // One that has given way is counted as that.
        if let Some(end) = self.end.filter(|_| had_its_place) {
            self.shared.ends[end as usize].add();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::places::Places;

    #[test]
    fn the_largest_holder_gives_way_and_nobody_in_turn() {
        let downloads = Downloads::new(4, None);
        let places = Places::new(99, 0, |_| false);
        let place = || places.open(([127, 0, 0, 1], 1).into());
        let client = |name: &str| Client::Named(name.into());
        let of = |name: &str, place: &Arc<Place>| downloads.open(&client(name), place);
        let greedy: Vec<_> = (0..4).map(|_| place()).collect();
        let mut held: Vec<_> = greedy.iter().map(|place| of("greedy", place).unwrap()).collect();
        assert_eq!(of("greedy", &place()).err(), Some(NoPlace::OfAll));
        let honest = place();
        let mut first = of("honest", &honest).unwrap();
        let mut second = of("honest", &honest).unwrap();
        held.iter_mut().chain([&mut second]).for_each(Download::begin);
        assert_eq!(of("honest", &honest).err(), Some(NoPlace::OfAll), "two and two");
        let leaving: Vec<_> = greedy.iter().map(|place| place.has_to_leave()).collect();
        assert_eq!(leaving, [true, true, false, false], "the oldest of the one with most");
        assert!(!honest.has_to_leave());
        assert_eq!((downloads.count(), downloads.0.ends[End::GaveWay as usize].get()), (4, 2));
        // Those that gave way free nothing once more.
        drop(held.drain(..2).collect::<Vec<_>>());
        assert_eq!(downloads.count(), 4);
        first.sent(7);
        first.complete();
        drop((first, second, held));
        let ends: Vec<_> = downloads.ends().collect();
        assert_eq!(ends, [("complete", 1), ("broken", 0), ("left", 3), ("gave_way", 2)]);
        assert_eq!((downloads.count(), downloads.bytes()), (0, 7));
    }

    #[test]
    fn one_client_has_so_many() {
        let downloads = Downloads::new(9, Some(2));
        let place = Places::new(9, 0, |_| false).open(([127, 0, 0, 1], 1).into());
        let client = Client::Named("a".into());
        let _held: Vec<_> = (0..2).map(|_| downloads.open(&client, &place).unwrap()).collect();
        assert_eq!(downloads.open(&client, &place).err(), Some(NoPlace::OfClient));
    }
}
