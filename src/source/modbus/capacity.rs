//! How much a device answers at once, learned from what it refuses.

use super::plan::Request;

/// Learned while the source runs; outlives connections.
#[derive(Debug)]
pub(super) struct Capacity {
    most: u16,
    /// Size of the largest request that was answered.
    answered: u16,
    probe: bool,
}

impl Capacity {
    /// `configured`: registers in one request at most.
    pub fn new(configured: u16) -> Self {
        Self { most: configured.max(1), answered: 0, probe: false }
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
        self.probe = false;
    }

    /// The device gave the registers.
    pub fn answered(&mut self, request: &Request) {
        self.answered = self.answered.max(size(request));
        self.probe = false;
    }

    /// No answer, or the device hung up. The size is held to be the cause only where the device answers smaller requests
    /// and has answered none of this size.
    pub fn silent(&mut self, request: &Request) {
        if self.answered == 0 {
            self.probe = true;
        } else if size(request) > self.answered {
            self.learn((size(request) / 2).max(self.answered), "does not answer", size(request));
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
        let mut capacity = Capacity::new(125);
        capacity.silent(&request(Table::Holding, 125));
        assert_eq!((capacity.most(), capacity.must_probe()), (125, true), "perhaps nobody is there");
        capacity.answered(&request(Table::Holding, 2));
        assert!(!capacity.must_probe());
        capacity.silent(&request(Table::Holding, 125));
        assert_eq!(capacity.most(), 62);
        capacity.answered(&request(Table::Holding, 62));
        capacity.silent(&request(Table::Holding, 62));
        assert_eq!(capacity.most(), 62, "this size was answered before");
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
