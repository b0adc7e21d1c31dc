//! How much a device answers at once, learned from what it refuses.

use super::plan::Request;

/// Silences of that size, each right after an answer to a smaller request, before the size is held to be the cause.
const SILENCES: u8 = 2;

/// Learned while the source runs; outlives connections.
#[derive(Debug)]
pub(super) struct Capacity {
    most: u16,
    /// Size of the largest request that was answered.
    answered: u16,
    probe: bool,
    /// Whether the device answered anything since it was last silent.
    is_there: bool,
    suspect: Option<Suspect>,
}

/// Requests larger than any that was answered, without an answer.
#[derive(Clone, Copy, Debug)]
struct Suspect {
    /// The smallest of them.
    size: u16,
    times: u8,
}

impl Capacity {
    /// `configured`: registers in one request at most.
    pub fn new(configured: u16) -> Self {
        Self { most: configured.max(1), answered: 0, probe: false, is_there: false, suspect: None }
    }

    /// Registers in one request at most.
    pub fn most(&self) -> u16 {
        self.most
    }

    /// Whether the smallest request must show first that the device answers at all.
    pub fn must_probe(&self) -> bool {
        self.probe
    }

    /// The device answered with an exception.
    pub fn alive(&mut self) {
        self.answered = self.answered.max(1);
        self.is_back();
    }

    /// The device gave the registers.
    pub fn answered(&mut self, request: &Request) {
        self.answered = self.answered.max(size(request));
        self.is_back();
    }

    /// No answer, or the device hung up. The size is held to be the cause only where this repeats at sizes that were never answered
    /// while smaller requests are, before and after it: a network that fails is no limit of the device.
    pub fn silent(&mut self, request: &Request) {
        let (size, is_there) = (size(request), std::mem::take(&mut self.is_there));
        if size <= self.answered {
            self.suspect = None;
            return;
        }
        self.probe = true;
        if is_there {
            let before = self.suspect.unwrap_or(Suspect { size, times: 0 });
            self.suspect = Some(Suspect { size: before.size.min(size), times: before.times.saturating_add(1) });
        }
    }

    fn is_back(&mut self) {
        (self.probe, self.is_there) = (false, true);
        self.suspect = self.suspect.filter(|suspect| suspect.size > self.answered);
        if let Some(suspect) = self.suspect.take_if(|suspect| suspect.times >= SILENCES) {
            self.learn((suspect.size / 2).max(self.answered), "does not answer", suspect.size);
        }
    }

    /// The device refused a request of wanted registers only, and answered all of them in smaller ones.
    pub fn refused(&mut self, refused: u16, read: u16) {
        if (1..refused).contains(&read) {
            self.learn(read, "refuses", refused);
        }
    }

    fn learn(&mut self, most: u16, verb: &str, failed: u16) {
        if most < self.most {
            self.most = most;
            tracing::info!("the device {verb} requests of {failed} registers: {most} at most from now on");
        }
    }
}

/// In registers; sixteen bits are one.
pub(super) fn size(request: &Request) -> u16 {
    let count = request.registers.end.saturating_sub(request.registers.start);
    u16::try_from(if request.table.is_bits() { count.div_ceil(16) } else { count }).unwrap_or(u16::MAX)
}

#[cfg(test)]
mod tests {
    use super::super::address::Table;
    use super::*;

    fn request(table: Table, count: u32) -> Request {
        Request { table, registers: 10..10 + count, parts: Vec::new() }
    }

    #[test]
    fn silence_is_blamed_on_the_size_only_where_smaller_ones_are_answered() {
        let (mut capacity, small, large) = (Capacity::new(125), request(Table::Holding, 2), request(Table::Holding, 125));
        capacity.silent(&large);
        assert_eq!((capacity.most(), capacity.must_probe()), (125, true), "perhaps nobody is there");
        for _ in 0..2 {
            capacity.answered(&small);
            assert_eq!((capacity.most(), capacity.must_probe()), (125, false));
            capacity.silent(&large);
            assert_eq!((capacity.most(), capacity.must_probe()), (125, true), "it may have gone this moment");
        }
        capacity.answered(&small);
        assert_eq!(capacity.most(), 62);
        capacity.answered(&request(Table::Holding, 62));
        for _ in 0..5 {
            capacity.silent(&request(Table::Holding, 62));
            capacity.answered(&small);
        }
        assert_eq!(capacity.most(), 62, "this size was answered before");
    }

    #[test]
    fn a_network_that_fails_is_no_limit() {
        let (mut capacity, small, large) = (Capacity::new(125), request(Table::Holding, 2), request(Table::Holding, 125));
        capacity.answered(&small);
        for _ in 0..10 {
            capacity.silent(&large);
            capacity.silent(&small);
        }
        for request in [&small, &large, &small] {
            capacity.answered(request);
        }
        assert_eq!((capacity.most(), capacity.must_probe()), (125, false));
    }

    #[test]
    fn bits_count_by_sixteen_and_limits_only_fall() {
        assert_eq!([size(&request(Table::Coil, 33)), size(&request(Table::Input, 33))], [3, 33]);
        let mut capacity = Capacity::new(50);
        capacity.refused(40, 20);
        capacity.refused(40, 40);
        capacity.refused(40, 30);
        assert_eq!(capacity.most(), 20);
    }
}
