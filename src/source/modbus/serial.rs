//! Modbus RTU: the same requests on a serial line.

use tokio_modbus::client::{Context, rtu};
use tokio_serial::{ClearBuffer, DataBits, ErrorKind, SerialPort, SerialPortBuilderExt, SerialStream, StopBits};

use crate::config::{Parity, SerialLine};

/// Opens the line; what an earlier request has left on it is dropped.
///
/// # Errors
/// Why not, in words, with the next step.
pub(super) fn open(line: &SerialLine) -> Result<Context, String> {
    let port = tokio_serial::new(&line.device, line.baud)
        .data_bits(DataBits::Eight)
        .parity(match line.parity {
            Parity::None => tokio_serial::Parity::None,
            Parity::Even => tokio_serial::Parity::Even,
            Parity::Odd => tokio_serial::Parity::Odd,
        })
        .stop_bits(if line.stop_bits == 2 { StopBits::Two } else { StopBits::One })
        .open_native_async();
    let port: SerialStream = port.map_err(|e| explain(line, &e))?;
    port.clear(ClearBuffer::All).map_err(|e| explain(line, &e))?;
    Ok(rtu::attach(port))
}

fn explain(line: &SerialLine, error: &tokio_serial::Error) -> String {
    use std::io::ErrorKind::PermissionDenied;
    let next = match error.kind() {
        _ if !std::path::Path::new(&line.device).exists() => "check the cable and the device's name (`ls /dev/tty*`)",
        ErrorKind::Io(PermissionDenied) => "the user of the gateway must be in the group `dialout`",
        ErrorKind::InvalidInput => "check baud, parity and stop bits",
        _ => "check whether another program uses it",
    };
    format!("{}: {error}; {next}", line.device)
}
