// Judged by nats.js: what a Node application does with NATS, over TCP and over WebSocket.
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { after, before, describe, test as plainTest } from 'node:test';
import { readFileSync, existsSync } from 'node:fs';
import { spawn } from 'node:child_process';
import { mkdtempSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { WebSocket } from 'ws';
import { connect, headers, nanos, wsconnect } from '@nats-io/transport-node';
import { AckPolicy, DeliverPolicy, jetstream, jetstreamManager } from '@nats-io/jetstream';
import { Kvm } from '@nats-io/kv';
import { Objm } from '@nats-io/obj';

globalThis.WebSocket ??= WebSocket;
const SERVERS = `${process.env.NATS_HOST ?? '127.0.0.1'}:${process.env.NATS_PORT ?? 4222}`;
const SERVER = process.env.NATS_SERVER;

// expected_failures.txt: one test name a line, `#` comments; they are left out against polybus. The reasons are in ../EXPECTED_FAILURES.md.
const list = new URL('../expected_failures.txt', import.meta.url);
const isPolybus = SERVER?.endsWith('/tests/clients/nats/nats-server');
const expected = new Set(isPolybus && existsSync(list) ? readFileSync(list, 'utf8').split('\n').map((line) => line.split('#')[0].trim()).filter(Boolean) : []);
const test = (name, run) => plainTest(name, { timeout: 30_000, skip: expected.has(name) && 'EXPECTED_FAILURES.md' }, run);

const unique = () => `node${randomUUID().slice(0, 8)}`;
const text = (data) => new TextDecoder().decode(data);
let nc;
before(async () => { nc = await connect({ servers: SERVERS }); });
after(() => nc.close());

async function until(what, condition) {
  for (const end = Date.now() + 20_000; !(await condition()); await new Promise((resolve) => setTimeout(resolve, 10)))
    assert.ok(Date.now() < end, `not in time: ${what}`);
}

/** A stream that is deleted at the end of the test, with what publishes to it. */
async function streamFor(t, config = {}) {
  const name = unique();
  const jsm = await jetstreamManager(nc);
  t.after(() => jsm.streams.delete(name).catch(() => {}));
  await jsm.streams.add({ name, subjects: [`${name}.>`], ...config });
  return { name, jsm, js: jetstream(nc) };
}

describe('core', () => {
  test('wildcards, headers, order', async () => {
    const name = unique();
    const sub = nc.subscribe(`${name}.*`, { max: 1000 });
    const h = headers();
    h.append('K', '1');
    h.append('K', '2');
    for (let i = 0; i < 1000; i++) nc.publish(`${name}.a`, String(i), { headers: h });
    let next = 0;
    for await (const m of sub) {
      assert.equal(text(m.data), String(next++));
      assert.deepEqual(m.headers.values('K'), ['1', '2']);
    }
    assert.equal(next, 1000);
  });

  test('queue group', async () => {
    const name = unique();
    const others = await Promise.all([1, 2, 3].map(() => connect({ servers: SERVERS })));
    const counts = [0, 0, 0];
    others.forEach((one, i) => one.subscribe(name, { queue: 'g', callback: () => { counts[i] += 1; } }));
    await Promise.all(others.map((one) => one.flush()));
    for (let i = 0; i < 900; i++) nc.publish(name);
    await until('all came', () => counts[0] + counts[1] + counts[2] === 900);
    assert.ok(Math.min(...counts) > 180, `${counts}`);
    await Promise.all(others.map((one) => one.close()));
  });

  test('request, reply, nobody', async () => {
    const name = unique();
    nc.subscribe(name, { callback: (_, m) => m.respond(`re:${text(m.data)}`) });
    const answers = await Promise.all([...Array(100).keys()].map((i) => nc.request(name, String(i), { timeout: 10_000 })));
    assert.deepEqual(answers.map((m) => text(m.data)), [...Array(100).keys()].map((i) => `re:${i}`));
    await assert.rejects(nc.request(unique(), '', { timeout: 5000 }), /no responders/i);
  });

  test('several answers to one request', async () => {
    const name = unique();
    for (let i = 0; i < 3; i++) nc.subscribe(name, { callback: (_, m) => m.respond(String(i)) });
    const seen = [];
    for await (const m of await nc.requestMany(name, '', { maxMessages: 3, maxWait: 5000 })) seen.push(text(m.data));
    assert.deepEqual(seen.sort(), ['0', '1', '2']);
  });

  test('drain', async () => {
    const name = unique();
    const one = await connect({ servers: SERVERS });
    let seen = 0;
    one.subscribe(name, { callback: () => { seen += 1; } });
    await one.flush();
    for (let i = 0; i < 500; i++) nc.publish(name);
    await nc.flush();
    await one.drain();
    assert.equal(seen, 500);
  });

  test('websocket', async (t) => {
    const free = () => new Promise((resolve) => { const s = createServer().listen(0, '127.0.0.1', () => { const { port } = s.address(); s.close(() => resolve(port)); }); });
    const [port, web] = [await free(), await free()];
    const folder = mkdtempSync(join(tmpdir(), 'nats-'));
    const { writeFileSync } = await import('node:fs');
    writeFileSync(join(folder, 'conf'), `websocket { listen: "127.0.0.1:${web}", no_tls: true }`);
    const server = spawn(SERVER, ['-a', '127.0.0.1', '-p', String(port), '-sd', folder, '-js', '-c', join(folder, 'conf'), '-l', join(folder, 'log')], { stdio: 'ignore' });
    t.after(() => server.kill('SIGKILL'));
    await until('ready', () => existsSync(join(folder, 'log')) && readFileSync(join(folder, 'log'), 'utf8').includes('Server is ready'));
    const one = await wsconnect({ servers: `ws://127.0.0.1:${web}` });
    const two = await connect({ servers: `127.0.0.1:${port}` });
    const sub = one.subscribe('a', { max: 1 });
    await one.flush();
    two.publish('a', 'x'.repeat(100_000));
    for await (const m of sub) assert.equal(m.data.length, 100_000);
    await Promise.all([one.close(), two.close()]);
  });
});

describe('jetstream', () => {
  test('publish, duplicates, expectations', async (t) => {
    const { name, js, jsm } = await streamFor(t);
    assert.equal((await js.publish(`${name}.a`, 'x', { msgID: '1' })).seq, 1);
    assert.equal((await js.publish(`${name}.a`, 'x', { msgID: '1' })).duplicate, true);
    await assert.rejects(js.publish(`${name}.a`, 'x', { expect: { lastSequence: 9 } }), /wrong last sequence/);
    assert.equal((await js.publish(`${name}.a`, 'y', { expect: { lastSubjectSequence: 1, streamName: name } })).seq, 2);
    assert.equal((await jsm.streams.info(name)).state.messages, 2);
    const message = await jsm.streams.getMessage(name, { last_by_subj: `${name}.a` });
    assert.equal(text(message.data), 'y');
  });

  test('consume with a consumer that is there', async (t) => {
    const { name, js, jsm } = await streamFor(t);
    for (let i = 0; i < 200; i++) await js.publish(`${name}.a`, String(i));
    await jsm.consumers.add(name, { durable_name: 'd', ack_policy: AckPolicy.Explicit });
    const consumer = await js.consumers.get(name, 'd');
    let next = 0;
    const messages = await consumer.consume({ max_messages: 20 });
    for await (const m of messages) {
      assert.equal(text(m.data), String(next++));
      m.ack();
      if (next === 200) break;
    }
    await until('acknowledged', async () => (await jsm.consumers.info(name, 'd')).num_ack_pending === 0);
  });

  test('fetch, nak, term, working', async (t) => {
    const { name, js, jsm } = await streamFor(t);
    for (const body of 'abc') await js.publish(`${name}.a`, body);
    await jsm.consumers.add(name, { durable_name: 'd', ack_policy: AckPolicy.Explicit, ack_wait: nanos(1000) });
    const consumer = await js.consumers.get(name, 'd');
    const [a, b, c] = await Promise.all([1, 2, 3].map(() => consumer.next({ expires: 5000 })));
    const sorted = [a, b, c].sort((x, y) => x.seq - y.seq);
    sorted[1].term();
    assert.equal(await sorted[2].ackAck(), true);
    sorted[0].nak(200);
    const again = await consumer.next({ expires: 5000 });
    assert.equal(again.seq, 1);
    assert.equal(again.info.deliveryCount, 2);
    again.working();
    again.ack();
    assert.equal(await consumer.next({ expires: 1500 }), null);
  });

  test('ordered consumer', async (t) => {
    const { name, js } = await streamFor(t);
    for (let i = 0; i < 100; i++) await js.publish(`${name}.${i % 2 ? 'a' : 'b'}`, String(i));
    const consumer = await js.consumers.get(name, { filter_subjects: [`${name}.a`], deliver_policy: DeliverPolicy.All });
    const seen = [];
    for await (const m of await consumer.consume()) {
      seen.push(Number(text(m.data)));
      if (seen.length === 50) break;
    }
    assert.deepEqual(seen, [...Array(50).keys()].map((i) => i * 2 + 1));
  });

  test('purge, delete, list', async (t) => {
    const { name, js, jsm } = await streamFor(t, { max_msgs_per_subject: 3 });
    for (let i = 0; i < 10; i++) await js.publish(`${name}.${i % 2}`, String(i));
    assert.equal((await jsm.streams.info(name, { subjects_filter: '>' })).state.subjects[`${name}.0`], 3);
    assert.equal((await jsm.streams.purge(name, { filter: `${name}.0`, keep: 1 })).purged, 2);
    assert.equal(await jsm.streams.deleteMessage(name, 10), true);
    const names = [];
    for await (const one of jsm.streams.list()) names.push(one.config.name);
    assert.ok(names.includes(name));
    assert.equal(await jsm.streams.find(`${name}.x`), name);
  });

  test('key value', async (t) => {
    const kv = await new Kvm(nc).create(unique(), { history: 3 });
    t.after(() => kv.destroy());
    const watch = await kv.watch();
    const seen = [];
    const watching = (async () => { for await (const e of watch) { seen.push(`${e.key} ${e.operation} ${e.string()}`); if (seen.length === 3) break; } })();
    const revision = await kv.create('k', '1');
    await assert.rejects(kv.create('k', '2'));
    await kv.update('k', '2', revision);
    await kv.delete('k');
    await watching;
    assert.deepEqual(seen, ['k PUT 1', 'k PUT 2', 'k DEL ']);
    assert.equal((await kv.get('k')).operation, 'DEL');
    const keys = [];
    for await (const key of await kv.keys()) keys.push(key);
    assert.deepEqual(keys, []);
  });

  test('object store', async (t) => {
    const store = await new Objm(nc).create(unique());
    t.after(() => store.destroy());
    const data = new Uint8Array(500_000).map((_, i) => i % 251);
    await store.putBlob({ name: 'big' }, data);
    assert.deepEqual(await store.getBlob('big'), data);
    assert.equal((await store.info('big')).size, data.length);
    assert.equal((await store.list()).length, 1);
    await store.delete('big');
    assert.equal((await store.info('big')).deleted, true);
  });
});
