use tokio_modbus::client::{Context, Reader, tcp};

use super::*;
use crate::sim::Simulation;

async fn start(speed: f64) -> (RunningPlc, CancellationToken) {
    let stop = CancellationToken::new();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let options = PlcOptions { speed, seed: 11, story_start: 160.0, ..Default::default() };
    (start_modbus_plc(options, listener, stop.clone()).await.unwrap(), stop)
}

async fn words(client: &mut Context, address: u16, count: u16) -> Vec<u16> {
    client.read_holding_registers(address, count).await.unwrap().unwrap()
}

fn join(words: &[u16]) -> u32 {
    u32::from(words[0]) | u32::from(words[1]) << 16
}

async fn counter(client: &mut Context, address: u16) -> u32 {
    join(&words(client, address, 2).await)
}

async fn floats(client: &mut Context, address: u16, count: usize) -> Vec<f64> {
    let mut all = Vec::new();
    let end = address + 2 * count as u16;
    for from in (address..end).step_by(100) {
        all.extend(words(client, from, (end - from).min(100)).await);
    }
    all.chunks(2).map(|w| f64::from(f32::from_bits(join(w)))).collect()
}

/// One whole cycle: its number, scalars and waveforms.
async fn whole_cycle(client: &mut Context) -> (u32, Vec<f64>, Vec<f64>, Vec<f64>) {
    loop {
        let before = counter(client, COUNTER_BEFORE).await;
        let scalars = floats(client, FIRST_SCALAR, 7).await;
        let flux = floats(client, FLUX, BLOCK_LENGTH).await;
        let vibration = floats(client, VIBRATION, BLOCK_LENGTH).await;
        if before > 0 && counter(client, COUNTER_AFTER).await == before {
            return (before, scalars, flux, vibration);
        }
    }
}

#[tokio::test]
async fn a_client_reads_whole_cycles_of_the_simulation() {
    let (plc, stop) = start(1.0).await;
    let mut client = tcp::connect(plc.address).await.unwrap();
    let expected: Vec<_> = Simulation::new(11, 160.0).take(100).collect();
    let mut last = 0;
    for _ in 0..3 {
        let (count, scalars, flux, vibration) = loop {
            let cycle = whole_cycle(&mut client).await;
            if cycle.0 != last {
                break cycle;
            }
        };
        assert!(count > last);
        last = count;
        let wanted = &expected[count as usize - 1].1;
        let as_sent = |values: &[f64]| values.iter().map(|x| f64::from(*x as f32)).collect::<Vec<_>>();
        assert_eq!(scalars, as_sent(&wanted.scalars()));
        assert_eq!(flux, as_sent(&wanted.flux));
        assert_eq!(vibration, as_sent(&wanted.vibration));
    }
    assert_eq!(words(&mut client, IS_RUNNING, 1).await, [1]);
    assert_eq!(plc.story.borrow().name, "Normal");
    stop.cancel();
    plc.join().await.unwrap();
}

#[tokio::test]
async fn refuses_what_is_not_there() {
    let (plc, stop) = start(10.0).await;
    let mut client = tcp::connect(plc.address).await.unwrap();
    assert_eq!(client.read_holding_registers(1301, 2).await.unwrap(), Err(ExceptionCode::IllegalDataAddress));
    assert_eq!(client.read_coils(0, 1).await.unwrap(), Err(ExceptionCode::IllegalFunction));
    assert_eq!(client.read_input_registers(1300, 2).await.unwrap().map(|w| w.len()), Ok(2));
    stop.cancel();
    plc.join().await.unwrap();
}

#[test]
fn the_map_has_no_overlaps() {
    let map = register_map();
    assert!(map.windows(2).all(|w| w[0].address + w[0].registers <= w[1].address));
    assert_eq!(usize::from(map[11].address + map[11].registers), LENGTH);
    assert!(map.iter().all(|r| r.kind != "f32" || r.registers % 2 == 0));
}
