// Judged by kafkajs: what a Node application does with Kafka.
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { after, before, describe, test as plainTest } from 'node:test';
import { readFileSync, existsSync } from 'node:fs';
import kafkajs from 'kafkajs';
import SnappyCodec from 'kafkajs-snappy';

const { Kafka, CompressionCodecs, CompressionTypes, ConfigResourceTypes, logLevel } = kafkajs;
CompressionCodecs[CompressionTypes.Snappy] = SnappyCodec;
process.env.KAFKAJS_NO_PARTITIONER_WARNING = '1';

const BROKER = `${process.env.KAFKA_HOST ?? '127.0.0.1'}:${process.env.KAFKA_PORT ?? 9092}`;
const kafka = new Kafka({ clientId: 'node', brokers: [BROKER], logLevel: logLevel.NOTHING, retry: { initialRetryTime: 50 } });

// expected_failures.txt: one test name a line, `#` comments; they are left out. The reasons are in ../EXPECTED_FAILURES.md.
const list = new URL('../expected_failures.txt', import.meta.url);
const expected = new Set(existsSync(list) ? readFileSync(list, 'utf8').split('\n').map((line) => line.split('#')[0].trim()).filter(Boolean) : []);
const test = (name, run) => plainTest(name, { timeout: 30_000, skip: expected.has(name) && 'EXPECTED_FAILURES.md' }, run);

const unique = () => `node-${randomUUID().slice(0, 8)}`;
const admin = kafka.admin();
const producer = kafka.producer();
before(async () => { await Promise.all([admin.connect(), producer.connect()]); });
after(async () => { await Promise.all([admin.disconnect(), producer.disconnect()]); });

async function until(what, condition) {
  for (const end = Date.now() + 20_000; !(await condition()); await new Promise((resolve) => setTimeout(resolve, 10)))
    assert.ok(Date.now() < end, `not in time: ${what}`);
}

/** A topic that is deleted at the end of the test. */
async function topicFor(t, numPartitions = 1, configEntries = []) {
  const topic = unique();
  t.after(() => admin.deleteTopics({ topics: [topic] }));
  await admin.createTopics({ topics: [{ topic, numPartitions, configEntries }], waitForLeaders: true });
  return topic;
}

/** A member of a group that keeps what it gets, and what it is assigned. */
async function join(t, topic, groupId = unique(), options = {}) {
  const consumer = kafka.consumer({ groupId, heartbeatInterval: 300, sessionTimeout: 10_000, rebalanceTimeout: 10_000, ...options });
  const one = { consumer, groupId, got: [], assigned: undefined };
  consumer.on(consumer.events.GROUP_JOIN, ({ payload }) => { one.assigned = payload.memberAssignment[topic] ?? []; });
  t.after(() => consumer.disconnect());
  await consumer.connect();
  await consumer.subscribe({ topics: [topic], fromBeginning: true });
  await consumer.run({ eachMessage: async ({ partition, message }) => { one.got.push({ partition, ...message }); } });
  return one;
}

const values = (member) => member.got.map(({ value }) => value.toString());
const numbers = (from, to, partitions) => Array.from({ length: to - from }, (_, n) => ({ partition: (from + n) % partitions, value: `${from + n}` }));

describe('producers and consumers', () => {
  test('keys, headers and timestamps', async (t) => {
    const topic = await topicFor(t, 1);
    const timestamp = `${Date.now() - 5000}`;
    const [{ baseOffset }] = await producer.send({ topic, messages: [
      { key: 'k', value: 'v', headers: { one: '1', many: ['a', 'b'] }, timestamp }, { key: null, value: 'no key' }, { key: 'gone', value: null }] });
    assert.equal(baseOffset, '0');
    const member = await join(t, topic);
    await until('three', () => member.got.length === 3);
    const [first, second, third] = member.got;
    assert.equal(first.key.toString(), 'k');
    assert.equal(first.timestamp, timestamp);
    assert.equal(first.headers.one.toString(), '1');
    assert.deepEqual(first.headers.many.map(String), ['a', 'b']);
    assert.equal(second.key, null);
    assert.equal(third.value, null);
    assert.deepEqual(member.got.map(({ offset }) => offset), ['0', '1', '2']);
  });

  for (const name of ['None', 'GZIP', 'Snappy'])
    test(`compression ${name}`, async (t) => {
      const topic = await topicFor(t);
      const messages = Array.from({ length: 200 }, (_, n) => ({ value: `${n} of these `.repeat(50) }));
      await producer.send({ topic, compression: CompressionTypes[name], messages });
      const member = await join(t, topic);
      await until('all of them', () => member.got.length === 200);
      assert.deepEqual(values(member), messages.map(({ value }) => value));
    });

  for (const acks of [0, 1, -1])
    test(`acks ${acks}`, async (t) => {
      const topic = await topicFor(t);
      await producer.send({ topic, acks, messages: [{ value: 'x' }] });
      const member = await join(t, topic);
      await until('it comes', () => member.got.length === 1);
    });

  test('idempotent producer', async (t) => {
    const topic = await topicFor(t, 2);
    const idempotent = kafka.producer({ idempotent: true, maxInFlightRequests: 1 });
    await idempotent.connect();
    t.after(() => idempotent.disconnect());
    for (let n = 0; n < 20; n += 2) await idempotent.send({ topic, messages: numbers(n, n + 2, 2) });
    const member = await join(t, topic);
    await until('all of them', () => member.got.length === 20);
    for (const partition of [0, 1])
      assert.deepEqual(member.got.filter((m) => m.partition === partition).map(({ value }) => Number(value)), Array.from({ length: 10 }, (_, n) => 2 * n + partition));
  });

  test('a message that is too large', async (t) => {
    const topic = await topicFor(t, 1, [{ name: 'max.message.bytes', value: '1000' }]);
    await assert.rejects(producer.send({ topic, messages: [{ value: 'x'.repeat(2000) }] }), { type: 'MESSAGE_TOO_LARGE' });
  });

  test('a topic is created by use', async (t) => {
    const topic = unique();
    t.after(() => admin.deleteTopics({ topics: [topic] }));
    await producer.send({ topic, messages: [{ value: 'first' }] });
    assert.deepEqual((await admin.fetchTopicOffsets(topic)).reduce((sum, { high }) => sum + Number(high), 0), 1);
  });

  test('seek', async (t) => {
    const topic = await topicFor(t);
    await producer.send({ topic, messages: numbers(0, 10, 1) });
    const member = await join(t, topic);
    await until('all of them', () => member.got.length === 10);
    member.consumer.seek({ topic, partition: 0, offset: '7' });
    await until('the last again', () => member.got.length === 13);
    assert.deepEqual(values(member).slice(10), ['7', '8', '9']);
  });
});

describe('groups', () => {
  test('members join and leave', async (t) => {
    const topic = await topicFor(t, 4);
    const one = await join(t, topic);
    await until('all are assigned', () => one.assigned?.length === 4);
    const two = await join(t, topic, one.groupId);
    await until('they are shared', () => one.assigned.length === 2 && two.assigned?.length === 2);
    await producer.send({ topic, messages: numbers(0, 40, 4) });
    await until('all is read', () => one.got.length === 20 && two.got.length === 20);
    await two.consumer.disconnect();
    await until('the other has all', () => one.assigned.length === 4);
    await producer.send({ topic, messages: numbers(40, 48, 4) });
    await until('the rest is read', () => one.got.length === 28);
    assert.equal(new Set([...values(one), ...values(two)]).size, 48);
  });

  test('committed offsets stay', async (t) => {
    const topic = await topicFor(t);
    await producer.send({ topic, messages: numbers(0, 5, 1) });
    const one = await join(t, topic, unique(), {});
    await until('all is read', () => one.got.length === 5);
    await one.consumer.commitOffsets([{ topic, partition: 0, offset: '3', metadata: 'here' }]);
    await one.consumer.stop();
    await admin.setOffsets({ groupId: one.groupId, topic, partitions: [{ partition: 0, offset: '4' }] });
    assert.equal((await admin.fetchOffsets({ groupId: one.groupId, topics: [topic] }))[0].partitions[0].offset, '4');
    const next = await join(t, topic, one.groupId);
    await until('the rest is read', () => next.got.length === 1);
    assert.deepEqual(values(next), ['4']);
  });

  test('groups are described and deleted', async (t) => {
    const topic = await topicFor(t);
    const one = await join(t, topic);
    await until('it is assigned', () => one.assigned?.length === 1);
    const { groups: [described] } = await admin.describeGroups([one.groupId]);
    assert.equal(described.state, 'Stable');
    assert.equal(described.members[0].clientId, 'node');
    assert.ok((await admin.listGroups()).groups.some(({ groupId }) => groupId === one.groupId));
    await assert.rejects(admin.deleteGroups([one.groupId]), (error) => error.groups[0].error.type === 'NON_EMPTY_GROUP');
    await one.consumer.disconnect();
    await admin.deleteGroups([one.groupId]);
  });
});

describe('admin', () => {
  test('topics', async (t) => {
    const topic = await topicFor(t, 2);
    assert.equal(await admin.createTopics({ topics: [{ topic }] }), false);
    assert.ok((await admin.listTopics()).includes(topic));
    await admin.createPartitions({ topicPartitions: [{ topic, count: 3 }] });
    await until('three', async () => (await admin.fetchTopicMetadata({ topics: [topic] })).topics[0].partitions.length === 3);
  });

  test('settings', async (t) => {
    const topic = await topicFor(t);
    const resource = { type: ConfigResourceTypes.TOPIC, name: topic };
    await admin.alterConfigs({ validateOnly: false, resources: [{ ...resource, configEntries: [{ name: 'retention.ms', value: '80000' }] }] });
    await until('it is set', async () => {
      const { resources: [{ configEntries }] } = await admin.describeConfigs({ includeSynonyms: false, resources: [resource] });
      return configEntries.find(({ configName }) => configName === 'retention.ms').configValue === '80000';
    });
  });

  test('records are deleted, offsets are found', async (t) => {
    const topic = await topicFor(t);
    await producer.send({ topic, messages: [1, 2, 3].map((n) => ({ value: `${n}`, timestamp: `${Date.now() - 10_000 + n * 1000}` })) });
    assert.deepEqual(await admin.fetchTopicOffsets(topic), [{ partition: 0, offset: '3', high: '3', low: '0' }]);
    assert.equal((await admin.fetchTopicOffsetsByTimestamp(topic, Date.now() - 8500))[0].offset, '1');
    await admin.deleteTopicRecords({ topic, partitions: [{ partition: 0, offset: '2' }] });
    assert.equal((await admin.fetchTopicOffsets(topic))[0].low, '2');
  });

  test('cluster', async () => {
    const { brokers, controller, clusterId } = await admin.describeCluster();
    assert.ok(brokers.some(({ nodeId }) => nodeId === controller));
    assert.ok(clusterId);
  });
});

describe('transactions', () => {
  test('what is aborted is not seen', async (t) => {
    const topic = await topicFor(t);
    const transactional = kafka.producer({ transactionalId: unique(), maxInFlightRequests: 1, idempotent: true });
    await transactional.connect();
    t.after(() => transactional.disconnect());
    for (const [value, commit] of [['a', true], ['no', false], ['b', true]]) {
      const transaction = await transactional.transaction();
      await transaction.send({ topic, messages: [{ value }] });
      await (commit ? transaction.commit() : transaction.abort());
    }
    const member = await join(t, topic, unique(), { readUncommitted: false });
    await until('both come', () => member.got.length === 2);
    assert.deepEqual(values(member), ['a', 'b']);
  });
});
