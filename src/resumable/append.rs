//! How bytes get into an upload: leases, leave to commit, and what counts.

use super::manifest::Part;
use super::naming::Place;
use super::question::{Append, Grant, Piece, Position, Refusal, Shape};
use super::resource::{
    Context, Intent, LEASE_MS, Lease, MAX_CHUNKS_AT_ONCE, MAX_PARTS, Phase, Resource, Write,
};

impl Resource {
    pub(super) fn begin(
        &mut self,
        append: &Append,
        cx: &mut Context<'_>,
    ) -> Result<Grant, Refusal> {
        if !self.destination.is_same(&append.destination) {
            return Err(Refusal::DestinationChanged);
        }
        let chunk = self.check_position(append.at)?;
        if !matches!(self.phase, Phase::Open) {
            return Err(Refusal::Complete);
        }
        let length = self.check_length(append, cx)?;
        let room = length.unwrap_or(cx.policy.max_file_bytes) - self.offset;
        if append.content_length.is_some_and(|bytes| bytes > room) {
            return Err(too_long(length, cx));
        }
        if self.parts >= MAX_PARTS {
            return Err(Refusal::TooManyParts);
        }
        self.take_place(chunk, cx)?;
        self.length = length;
        let is_checked = append.is_checked;
        self.leases
            .push(cx.lease(chunk, append.completes, is_checked));
        Ok(Grant {
            place: self.next_place(chunk, 0),
            room,
            is_whole_file: self.is_whole_file(append, cx),
            needs_reseal: self.destination.token_mark != append.destination.token_mark,
            state: self.state(),
        })
    }

    /// Whether the bytes belong here. Gives the chunk, if they are one.
    fn check_position(&self, at: Position) -> Result<Option<u32>, Refusal> {
        match (at, &self.shape) {
            (Position::Offset(offset), Shape::Sequential { .. } | Shape::Partial) => {
                if offset == self.offset {
                    Ok(None)
                } else {
                    Err(Refusal::Offset {
                        expected: self.offset,
                    })
                }
            }
            (Position::Chunk { index, total: told }, Shape::Chunked { total }) => {
                if told != *total {
                    Err(Refusal::LengthDiffers)
                } else if index >= *total {
                    Err(Refusal::NoSuchChunk)
                } else if self.received.contains(index) {
                    Err(Refusal::ChunkStored)
                } else {
                    Ok(Some(index))
                }
            }
            _ => Err(Refusal::WrongShape),
        }
    }

    /// The length that is known from now on: every request that names one names the same.
    fn check_length(&self, append: &Append, cx: &Context<'_>) -> Result<Option<u64>, Refusal> {
        let by_end = match append.at {
            Position::Offset(offset) if append.completes => append
                .content_length
                .map(|bytes| offset.saturating_add(bytes)),
            _ => None,
        };
        let mut known = self.length;
        for told in [append.length, by_end].into_iter().flatten() {
            if *known.get_or_insert(told) != told {
                return Err(Refusal::LengthDiffers);
            }
        }
        let limit = cx.policy.max_file_bytes;
        match known {
            Some(0) => Err(Refusal::Empty),
            Some(length) if length > limit => Err(Refusal::TooLarge { limit }),
            Some(length) if length < self.offset => Err(Refusal::LengthDiffers),
            _ => Ok(known),
        }
    }

    /// Makes room for a lease. One request at a time appends, unless the other is dead. A chunk that is
    /// sent again takes the place of its first try at once: `TeleStore` v2's clients give up before a
    /// lease is over, and never send one chunk twice at a time.
    pub(super) fn take_place(
        &mut self,
        chunk: Option<u32>,
        cx: &mut Context<'_>,
    ) -> Result<(), Refusal> {
        let most = if chunk.is_some() {
            MAX_CHUNKS_AT_ONCE
        } else {
            1
        };
        let is_alive = |lease: &Lease| {
            let is_replaced =
                lease.holder == cx.request || (chunk.is_some() && lease.chunk == chunk);
            !is_replaced && cx.now < lease.until
        };
        let alive = || self.leases.iter().filter(|lease| is_alive(lease));
        if alive().count() >= most {
            let until = alive().map(|lease| lease.until).min().unwrap_or(cx.now);
            let seconds = until.saturating_sub(cx.now).div_ceil(1000).max(1);
            return Err(Refusal::Locked {
                retry_after: u32::try_from(seconds).unwrap_or(1),
            });
        }
        let dead: Vec<usize> = (0..self.leases.len())
            .rev()
            .filter(|&at| self.leases.get(at).is_some_and(|lease| !is_alive(lease)))
            .collect();
        for at in dead {
            self.drop_lease(at, cx);
        }
        Ok(())
    }

    /// Whether the first part of this request will be the whole file, as far as anybody can know.
    fn is_whole_file(&self, append: &Append, cx: &Context<'_>) -> bool {
        let is_only = match self.shape {
            Shape::Sequential { .. } => self.parts == 0,
            Shape::Chunked { total } => total == 1,
            Shape::Partial | Shape::Final => false,
        };
        let fits = self
            .length
            .is_some_and(|length| length <= cx.policy.part_bytes);
        let comes_now = match append.at {
            Position::Offset(_) => append
                .content_length
                .is_none_or(|bytes| Some(bytes) == self.length),
            Position::Chunk { .. } => true,
        };
        is_only && fits && comes_now
    }

    fn next_place(&self, chunk: Option<u32>, tentative: usize) -> Place {
        let count = u32::try_from(tentative).unwrap_or(u32::MAX);
        match chunk {
            Some(index) => Place {
                number: index + 1,
                piece: count,
            },
            None => Place {
                number: self.parts + 1 + count,
                piece: 0,
            },
        }
    }

    pub(super) fn renew(&mut self, cx: &Context<'_>) -> Result<(), Refusal> {
        self.own_lease(cx)?.until = cx.now + LEASE_MS;
        Ok(())
    }

    /// Leave to write the closing boundary. That its lease is over does not matter as long as nobody
    /// else has made use of that.
    pub(super) fn commit(&mut self, piece: Piece, cx: &mut Context<'_>) -> Result<u32, Refusal> {
        let lease = self.own_lease(cx)?;
        let (chunk, completes) = (lease.chunk, lease.completes);
        let tentative: u64 = lease.tentative.iter().map(|(_, part)| part.size).sum();
        let count = u32::try_from(lease.tentative.len()).unwrap_or(u32::MAX);
        let intent = lease.intent;
        // The answer to the same question was lost.
        if let Some(intent) = intent.filter(|intent| intent.piece == piece) {
            return Ok(intent.serial);
        }
        match (piece, &self.phase) {
            (Piece::Part { size, is_last }, Phase::Open) => {
                let end = self.offset.saturating_add(tentative).saturating_add(size);
                self.check_end(end, chunk.filter(|_| is_last), cx)?;
                if completes && is_last && self.length.is_some_and(|length| length != end) {
                    return Err(Refusal::LengthDiffers);
                }
                if self.parts.saturating_add(count) >= MAX_PARTS {
                    return Err(Refusal::TooManyParts);
                }
            }
            (Piece::Manifest, Phase::Complete { manifest: None, .. }) => {}
            _ => return Err(Refusal::Complete),
        }
        if let Some(forgotten) = intent {
            self.note_orphan(forgotten.serial, None, forgotten.piece.size(), cx);
        }
        let serial = self.next_serial;
        self.next_serial += 1;
        let lease = self.own_lease(cx)?;
        lease.intent = Some(Intent { serial, piece });
        lease.until = cx.now + LEASE_MS;
        Ok(serial)
    }

    /// Whether a file may have so many bytes. `last` is the chunk that ends with them.
    fn check_end(&self, end: u64, last: Option<u32>, cx: &Context<'_>) -> Result<(), Refusal> {
        if end > self.length.unwrap_or(cx.policy.max_file_bytes) {
            return Err(too_long(self.length, cx));
        }
        let completes_set = last.is_some_and(|index| self.would_be_complete(index));
        if completes_set && self.length.is_some_and(|length| length != end) {
            return Err(Refusal::LengthDiffers);
        }
        Ok(())
    }

    fn would_be_complete(&self, index: u32) -> bool {
        let Shape::Chunked { total } = self.shape else {
            return false;
        };
        !self.received.contains(index) && self.received.len() + 1 == total
    }

    pub(super) fn store(
        &mut self,
        serial: u32,
        mut part: Part,
        cx: &mut Context<'_>,
    ) -> Result<(), Refusal> {
        let own = self.own_lease(cx).ok();
        let Some((lease, intent)) = own.and_then(|lease| {
            let intent = lease.intent.take_if(|intent| intent.serial == serial)?;
            Some((lease, intent))
        }) else {
            return self.store_late(serial, &part, cx);
        };
        lease.until = cx.now + LEASE_MS;
        match intent.piece {
            Piece::Manifest => {
                if let Phase::Complete { manifest, .. } = &mut self.phase {
                    *manifest = Some(part);
                }
            }
            Piece::Part { size, .. } => {
                part.size = size;
                if lease.is_checked || lease.chunk.is_some() {
                    lease.tentative.push((serial, part));
                } else {
                    self.acknowledge(self.next_place(None, 0), part, cx);
                    self.complete_at_length(cx);
                }
            }
        }
        Ok(())
    }

    /// Telegram's answer to a request that has lost its lease.
    fn store_late(
        &mut self,
        serial: u32,
        part: &Part,
        cx: &mut Context<'_>,
    ) -> Result<(), Refusal> {
        match &cx.orphan {
            // It was recorded already, and the answer was lost.
            None => Ok(()),
            Some(orphan) => {
                if orphan.message_id.is_none() {
                    self.unknown_orphans = self.unknown_orphans.saturating_sub(1);
                    self.note_orphan(serial, Some(part.message_id), part.size, cx);
                }
                Err(Refusal::Overtaken)
            }
        }
    }

    pub(super) fn fail(&mut self, serial: u32, is_unknown: bool, cx: &mut Context<'_>) {
        let intent = self.own_lease(cx).ok().and_then(|lease| {
            lease.until = cx.now + LEASE_MS;
            lease.intent.take_if(|intent| intent.serial == serial)
        });
        match (intent, &cx.orphan) {
            (Some(intent), _) if is_unknown => {
                self.note_orphan(serial, None, intent.piece.size(), cx);
            }
            (None, Some(orphan)) if orphan.message_id.is_none() && !is_unknown => {
                self.unknown_orphans = self.unknown_orphans.saturating_sub(1);
                cx.writes.push(Write::NoOrphan(serial));
            }
            _ => {}
        }
    }

    /// The request's body has ended, or broke off. What was checked, or is a chunk, counts from now on,
    /// or never.
    pub(super) fn end(&mut self, is_whole: bool, cx: &mut Context<'_>) -> Result<(), Refusal> {
        let mut leases = self.leases.iter();
        let at = leases
            .position(|lease| lease.holder == cx.request)
            .ok_or(Refusal::Overtaken)?;
        let (chunk, completes) = match self.leases.get_mut(at) {
            Some(lease) if is_whole => {
                let bytes: u64 = lease.tentative.iter().map(|(_, part)| part.size).sum();
                let (chunk, completes) = (lease.chunk, lease.completes);
                let end = self.offset.saturating_add(bytes);
                if bytes > 0
                    && let Err(refusal) = self.check_end(end, chunk, cx)
                {
                    self.drop_lease(at, cx);
                    return Err(refusal);
                }
                self.promote(at, cx);
                (chunk.filter(|_| bytes > 0), completes)
            }
            _ => (None, false),
        };
        self.drop_lease(at, cx);
        if let Some(index) = chunk {
            self.received.insert(index);
        }
        if completes && self.length.is_none_or(|length| length == self.offset) {
            if self.offset == 0 {
                return Err(Refusal::Empty);
            }
            self.length = Some(self.offset);
            self.complete(cx);
        }
        self.complete_at_length(cx);
        Ok(())
    }

    /// What a request brought under reserve is of the file.
    fn promote(&mut self, at: usize, cx: &mut Context<'_>) {
        let Some(lease) = self.leases.get_mut(at) else {
            return;
        };
        let chunk = lease.chunk;
        let tentative = std::mem::take(&mut lease.tentative);
        for (piece, (_, part)) in tentative.into_iter().enumerate() {
            let place = match chunk {
                Some(_) => self.next_place(chunk, piece),
                None => self.next_place(None, 0),
            };
            self.acknowledge(place, part, cx);
        }
    }

    pub(super) fn acknowledge(&mut self, place: Place, part: Part, cx: &mut Context<'_>) {
        self.offset += part.size;
        self.parts += 1;
        self.expires_at = cx.now + cx.policy.ttl_ms;
        cx.writes.push(Write::Part(place, part));
    }

    fn complete_at_length(&mut self, cx: &Context<'_>) {
        let is_there = match self.shape {
            Shape::Sequential { ends_at_length } => {
                ends_at_length && self.length == Some(self.offset)
            }
            Shape::Partial => self.length == Some(self.offset),
            Shape::Chunked { total } => self.received.len() == total,
            Shape::Final => false,
        };
        if is_there {
            self.length = Some(self.offset);
            self.complete(cx);
        }
    }
}

fn too_long(length: Option<u64>, cx: &Context<'_>) -> Refusal {
    match length {
        Some(length) => Refusal::LengthExceeded { length },
        None => Refusal::TooLarge {
            limit: cx.policy.max_file_bytes,
        },
    }
}
