//! The regimes of a bundle in the order of another one: slots keep their meaning when bundles are exchanged.

use super::Bundle;

impl Bundle {
    /// With each regime that `other` knows too in the slot that it has there, as far as there are so many; what is left fills up in
    /// its own order. `None` where all are in place already.
    pub fn in_order_of(&self, other: &Self) -> Option<Self> {
        let order = self.order(other);
        if order.iter().enumerate().all(|(slot, from)| slot == *from) {
            return None;
        }
        fn arranged<T: Clone>(items: &[T], order: &[usize]) -> Vec<T> {
            order.iter().filter_map(|from| items.get(*from).cloned()).collect()
        }
        let mut bundle = self.clone();
        bundle.envelope.regimes = arranged(&self.envelope.regimes, &order);
        bundle.regimes = arranged(&self.regimes, &order);
        for (model, from) in bundle.models.iter_mut().zip(&self.models) {
            model.scores = arranged(&from.scores, &order);
            if let (Some(performance), Some(from)) = (&mut model.performance, &from.performance) {
                performance.regimes = arranged(&from.regimes, &order);
            }
        }
        Some(bundle)
    }

    /// Slot by slot, which of the own regimes belongs there.
    fn order(&self, other: &Self) -> Vec<usize> {
        let count = self.envelope.regimes.len();
        let mut slots: Vec<Option<usize>> = vec![None; count];
        for (from, regime) in self.envelope.regimes.iter().enumerate() {
            let slot = other.slot_of(&regime.key).map(usize::from);
            if let Some(place) = slot.and_then(|slot| slots.get_mut(slot)) {
                *place = Some(from);
            }
        }
        let placed: Vec<usize> = slots.iter().flatten().copied().collect();
        let mut left = (0..count).filter(|from| !placed.contains(from));
        slots.iter().filter_map(|slot| slot.or_else(|| left.next())).collect()
    }
}

#[cfg(test)]
mod tests {
    use crate::bundle::{Bundle, Training, TrainingRow};
    use crate::config::Config;
    use crate::regime::Cell;
    use crate::types::Timestamp;

    /// Speeds in the order in which they come first; the feature says which one it was.
    fn bundle(speeds: &[f64]) -> (Config, Bundle) {
        let text = "[[machines]]\nname = \"M\"\nsignals = [\"a\"]\nmin_reference_rows = 20\nsettings = [{ name = \"Speed\", tolerance = 1.0 }]\n[machines.data_drift]\ntests = [\"kolmogorov_smirnov\"]\n[[machines.models]]\nname = \"Wear\"\nkind = \"kmeans\"\nclusters = 2\n";
        let config = Config::parse(text).unwrap();
        let row = |speed: f64, i: u32| TrainingRow {
            time: Timestamp::EPOCH,
            cells: vec![Cell::Centre(speed)],
            features: vec![speed + f64::from(i % 7)],
        };
        let rows = speeds.iter().flat_map(|speed| (0..100).map(move |i| row(*speed, i))).collect();
        let bundle = Training { rows, ..Training::default() }.train(&config.machines[0], "hash").unwrap();
        (config, bundle)
    }

    fn keys(bundle: &Bundle) -> Vec<&str> {
        bundle.envelope.regimes.iter().map(|r| &*r.key).collect()
    }

    #[test]
    fn regimes_stay_where_they_were() {
        let (config, old) = bundle(&[100.0, 200.0, 300.0]);
        let (_, new) = bundle(&[400.0, 300.0, 100.0, 200.0]);
        let arranged = new.in_order_of(&old).unwrap();
        assert_eq!(keys(&arranged)[..3], keys(&old)[..]);
        assert_eq!(arranged.envelope.regimes.len(), 4);
        assert_eq!(arranged.check(&config.machines[0]), Ok(()));
        let means: Vec<f64> = arranged.regimes.iter().map(|r| (r.mean[0] / 100.0).floor() * 100.0).collect();
        assert_eq!(means, [100.0, 200.0, 300.0, 400.0], "references go with their regimes");
        assert_eq!(arranged.models[0].scores[0], new.models[0].scores[usize::from(new.slot_of(keys(&old)[0]).unwrap())]);
        assert!(arranged.in_order_of(&old).is_none() && old.in_order_of(&old).is_none());
    }

    #[test]
    fn fewer_regimes_have_no_gaps() {
        let (_, old) = bundle(&[100.0, 200.0, 300.0]);
        let (_, new) = bundle(&[300.0, 100.0]);
        let arranged = new.in_order_of(&old).unwrap();
        assert_eq!(keys(&arranged), [keys(&old)[0], keys(&old)[2]]);
    }
}
