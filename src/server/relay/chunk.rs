//! The clear part of OPC UA's messages over TCP (Part 6, 7.1).

use tokio::io::{AsyncRead, AsyncReadExt};

use super::{Cause, End};

const HEADER: usize = 8;
/// Largest chunk; what we offer in the answer to HEL.
pub(super) const MAX_CHUNK: usize = 65_535;

const CREATE_SESSION: u32 = 461;

#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Hello,
    Acknowledge,
    Error,
    Open,
    Message,
    Close,
}

/// One chunk as it came.
pub(super) struct Chunk {
    pub(super) kind: Kind,
    pub(super) bytes: Vec<u8>,
}

/// Kind and length that a header announces.
pub(super) fn header(bytes: [u8; HEADER]) -> Result<(Kind, usize), Cause> {
    let [a, b, c, last, l0, l1, l2, l3] = bytes;
    let kind = match &[a, b, c] {
        b"HEL" => Kind::Hello,
        b"ACK" => Kind::Acknowledge,
        b"ERR" => Kind::Error,
        b"OPN" => Kind::Open,
        b"MSG" => Kind::Message,
        b"CLO" => Kind::Close,
        _ => return Err(Cause::Malformed),
    };
    let length = u32::from_le_bytes([l0, l1, l2, l3]) as usize;
    let parts = matches!(last, b'F' | b'A') || (last == b'C' && kind == Kind::Message);
    match length {
        ..=HEADER => Err(Cause::Malformed),
        length if length > MAX_CHUNK => Err(Cause::TooLarge),
        length if parts => Ok((kind, length)),
        _ => Err(Cause::Malformed),
    }
}

impl Chunk {
    pub(super) async fn read(from: &mut (impl AsyncRead + Unpin)) -> Result<Self, End> {
        let mut head = [0; HEADER];
        from.read_exact(&mut head).await?;
        Self::rest(from, head).await
    }

    /// The rest of a chunk whose header has come.
    pub(super) async fn rest(from: &mut (impl AsyncRead + Unpin), head: [u8; HEADER]) -> Result<Self, End> {
        let (kind, length) = header(head).map_err(End::Refused)?;
        let mut bytes = Vec::with_capacity(length);
        bytes.extend_from_slice(&head);
        bytes.resize(length, 0);
        from.read_exact(bytes.get_mut(HEADER..).unwrap_or_default()).await?;
        Ok(Self { kind, bytes })
    }

    fn number(&self, at: usize) -> Option<u32> {
        Some(u32::from_le_bytes(self.bytes.get(at..at + 4)?.try_into().ok()?))
    }

    /// The secure channel's number.
    pub(super) fn channel(&self) -> Option<u32> {
        matches!(self.kind, Kind::Open | Kind::Message).then(|| self.number(HEADER)).flatten()
    }

    /// Of an OPN: whether its policy encrypts.
    pub(super) fn is_encrypted(&self) -> bool {
        let length = self.number(12).unwrap_or(0) as usize;
        let policy = self.bytes.get(16..16usize.saturating_add(length)).unwrap_or_default();
        !policy.ends_with(b"#None")
    }

    /// Whether it ends a message.
    pub(super) fn is_last(&self) -> bool {
        self.bytes.get(3) != Some(&b'C')
    }

    /// Of the first chunk of a message without encryption: whether it asks for a session.
    pub(super) fn creates_session(&self) -> bool {
        // Channel, token, sequence and request number, then the type of the body.
        let id = match self.bytes.get(24..) {
            Some([0, id, ..]) => u32::from(*id),
            Some([1, _, low, high, ..]) => u32::from(u16::from_le_bytes([*low, *high])),
            Some([2, _, _, a, b, c, d, ..]) => u32::from_le_bytes([*a, *b, *c, *d]),
            _ => 0,
        };
        id == CREATE_SESSION
    }
}

/// The message with which a connection is ended.
pub(super) fn error(cause: Cause) -> Vec<u8> {
    let status: u32 = match cause {
        Cause::Malformed => 0x807E_0000,
        Cause::TooLarge => 0x8080_0000,
        Cause::Slow | Cause::Stalled => 0x800A_0000,
        Cause::NoLogin => 0x8013_0000,
        Cause::NoEncryption => 0x8054_0000,
    };
    let text = cause.text().as_bytes();
    let mut bytes = b"ERRF".to_vec();
    bytes.extend(((16 + text.len()) as u32).to_le_bytes());
    bytes.extend(status.to_le_bytes());
    bytes.extend((text.len() as u32).to_le_bytes());
    bytes.extend(text);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(kind: &[u8; 4], length: u32) -> [u8; 8] {
        let mut bytes = [0; 8];
        bytes[..4].copy_from_slice(kind);
        bytes[4..].copy_from_slice(&length.to_le_bytes());
        bytes
    }

    #[test]
    fn only_opc_ua_of_our_size_passes() {
        assert_eq!(header(head(b"HELF", 60)), Ok((Kind::Hello, 60)));
        assert_eq!(header(head(b"MSGC", 65_535)), Ok((Kind::Message, 65_535)));
        assert_eq!(header(head(b"MSGF", 65_536)), Err(Cause::TooLarge));
        assert_eq!(header(head(b"MSGF", u32::MAX)), Err(Cause::TooLarge));
        for (kind, length) in [(b"GET ", 60), (b"MSGX", 60), (b"OPNC", 60), (b"MSGF", 0), (b"MSGF", 8), (b"helF", 60)] {
            assert_eq!(header(head(kind, length)), Err(Cause::Malformed), "{kind:?} {length}");
        }
    }

    #[test]
    fn what_is_clear_is_read_and_what_is_short_is_nothing() {
        let policy = b"http://opcfoundation.org/UA/SecurityPolicy#None";
        let mut bytes = head(b"OPNF", 100).to_vec();
        bytes.extend(7u32.to_le_bytes());
        bytes.extend((policy.len() as u32).to_le_bytes());
        bytes.extend(policy);
        let open = Chunk { kind: Kind::Open, bytes };
        assert_eq!((open.channel(), open.is_encrypted()), (Some(7), false));
        let mut message = head(b"MSGF", 100).to_vec();
        message.extend([0; 16]);
        message.extend([1, 0, 0xCD, 0x01]);
        let mut message = Chunk { kind: Kind::Message, bytes: message };
        assert!(message.creates_session() && message.is_last());
        for length in 0..message.bytes.len() {
            message.bytes.truncate(message.bytes.len() - 1);
            let _ = (message.channel(), message.is_encrypted(), message.is_last());
            assert!(!message.creates_session(), "{length}");
        }
    }
}
