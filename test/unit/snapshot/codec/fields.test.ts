import { describe, expect, it } from 'vitest';
import type { RoomState } from '../../../../src/room/state.ts';
import { MAX_INDEX, readRoom, readText, writeRoom } from '../../../../src/snapshot/codec/fields.ts';
import { ByteReader, ByteWriter, utf8 } from '../../../../src/util/bytes.ts';

const roomWith = (limit: number): RoomState => ({
  producer: '',
  streams: [{ kind: 'video', ssrc: 1, rtxSsrc: 2, limit, timestamp: 0, timestampAt: 0, source: undefined }],
});

function readBack(room: RoomState): { readonly room: RoomState; readonly complete: boolean } {
  const writer = new ByteWriter();
  writeRoom(writer, room);
  const reader = new ByteReader(writer.finish());
  return { room: readRoom(reader), complete: reader.complete };
}

describe('a room', () => {
  it('is read with a limit up to the one past the last index', () => {
    expect(readBack(roomWith(MAX_INDEX))).toEqual({ room: roomWith(MAX_INDEX), complete: true });
  });

  it('is refused with one beyond, from which no further limit could be written', () => {
    expect(readBack(roomWith(MAX_INDEX + 1)).complete).toBe(false);
  });
});

describe('a text', () => {
  const read = (text: string): boolean => {
    const reader = new ByteReader(new ByteWriter().vector(2, utf8(text)).finish());
    readText(reader, /^[a-z]{4}$/);
    return reader.complete;
  };

  it('is read where it has the form', () => {
    expect(read('abcd')).toBe(true);
  });

  it('is refused with a byte order mark in front, which would be lost in writing', () => {
    expect(read('\ufeffabcd')).toBe(false);
  });
});
