// Judged by amqplib: what a Node application does with RabbitMQ.
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { after, before, describe, test as plainTest } from 'node:test';
import { readFileSync, existsSync } from 'node:fs';
import amqp from 'amqplib';

const HOST = process.env.AMQP_HOST ?? '127.0.0.1';
const PORT = Number(process.env.AMQP_PORT ?? 5672);
const ADDRESS = { protocol: 'amqp', hostname: HOST, port: PORT, username: 'guest', password: 'guest', vhost: '/' };

// expected_failures.txt: one test name a line, `#` comments; they are left out. The reasons are in ../EXPECTED_FAILURES.md.
const list = new URL('../expected_failures.txt', import.meta.url);
const expected = new Set(existsSync(list) ? readFileSync(list, 'utf8').split('\n').map((line) => line.split('#')[0].trim()).filter(Boolean) : []);
const test = (name, run) => plainTest(name, { timeout: 20_000, skip: expected.has(name) && 'EXPECTED_FAILURES.md' }, run);

let connection;
const unique = () => `node-${randomUUID().slice(0, 8)}`;
const wait = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

before(async () => { connection = await amqp.connect(ADDRESS); });
after(async () => { await connection.close(); });

/** A channel whose errors are caught, closed at the end of the test. */
async function channelFor(t, confirm = false, on = connection) {
  const channel = await (confirm ? on.createConfirmChannel() : on.createChannel());
  channel.failed = new Promise((resolve) => channel.on('error', resolve));
  channel.on('close', () => { channel.isClosed = true; });
  t.after(async () => { if (!channel.isClosed) await channel.close(); });
  return channel;
}

/** At the end of the test, on a channel of its own. */
function cleanUp(t, run) {
  t.after(async () => {
    const channel = await connection.createChannel();
    await run(channel);
    await channel.close();
  });
}

async function queueFor(channel, args = {}, options = {}) {
  return (await channel.assertQueue('', { exclusive: true, arguments: args, ...options })).queue;
}

/** A consumer's messages, taken one after another. */
class Inbox {
  messages = [];
  cancelled = false;
  #waiting = [];
  take = (message) => {
    if (message === null) this.cancelled = true;
    const waiting = this.#waiting.shift();
    if (waiting) waiting(message); else this.messages.push(message);
  };
  next() {
    return this.messages.length ? Promise.resolve(this.messages.shift()) : new Promise((resolve) => this.#waiting.push(resolve));
  }
  async bodies(count) {
    const got = [];
    while (got.length < count) got.push((await this.next()).content.toString());
    return got;
  }
}

async function consume(channel, queue, options = { noAck: true }) {
  const inbox = new Inbox();
  inbox.tag = (await channel.consume(queue, inbox.take, options)).consumerTag;
  return inbox;
}

const refuses = (promise, code, text) => assert.rejects(promise, (error) => {
  assert.equal(error.code, code);
  assert.ok(error.message.includes(text), error.message);
  return true;
});

describe('connections', () => {
  test('server properties', () => {
    const { capabilities, product } = connection.connection.serverProperties;
    assert.equal(typeof product, 'string');
    for (const name of ['publisher_confirms', 'basic.nack', 'consumer_cancel_notify', 'connection.blocked', 'authentication_failure_close'])
      assert.equal(capabilities[name], true);
  });

  test('bad password', async () => {
    await assert.rejects(amqp.connect({ ...ADDRESS, password: 'wrong' }), /403 \(ACCESS-REFUSED\).*Login was refused using authentication mechanism PLAIN/);
  });

  test('unknown vhost', async () => {
    await assert.rejects(amqp.connect({ ...ADDRESS, vhost: 'nowhere' }), /Expected ConnectionOpenOk; got <ConnectionClose channel:0>/);
  });

  test('small frames carry large bodies', async (t) => {
    const small = await amqp.connect({ ...ADDRESS, frameMax: 4096 });
    t.after(() => small.close());
    const channel = await small.createChannel();
    const queue = await queueFor(channel);
    const body = Buffer.alloc(100_001, 'ab');
    channel.sendToQueue(queue, body);
    const inbox = await consume(channel, queue);
    assert.deepEqual((await inbox.next()).content, body);
  });

  test('heartbeats keep an idle connection', async (t) => {
    const idle = await amqp.connect({ ...ADDRESS, heartbeat: 1 });
    t.after(() => idle.close());
    let failed;
    idle.on('error', (error) => { failed = error; });
    await wait(3500);
    assert.equal(failed, undefined);
    await idle.createChannel();
  });

  test('update-secret', async () => { await connection.updateSecret(Buffer.from('guest'), 'test'); });

  test('a channel error leaves the others alone', async (t) => {
    const [bad, good] = [await channelFor(t), await channelFor(t)];
    const name = unique();
    await refuses(bad.checkQueue(name), 404, `NOT_FOUND - no queue '${name}' in vhost '/'`);
    await queueFor(good);
  });
});

describe('queues and exchanges', () => {
  test('check, purge, delete', async (t) => {
    const channel = await channelFor(t, true);
    const queue = await queueFor(channel);
    for (let i = 0; i < 3; i++) channel.sendToQueue(queue, Buffer.from('x'));
    await channel.waitForConfirms();
    assert.deepEqual(await channel.checkQueue(queue), { queue, messageCount: 3, consumerCount: 0 });
    assert.deepEqual(await channel.purgeQueue(queue), { messageCount: 3 });
    assert.deepEqual(await channel.deleteQueue(queue), { messageCount: 0 });
  });

  test('inequivalent arguments', async (t) => {
    const [owner, other] = [await channelFor(t), await channelFor(t)];
    const { queue } = await owner.assertQueue(unique(), { exclusive: true });
    await refuses(other.assertQueue(queue, { exclusive: true, durable: true, messageTtl: 70_000 }), 406,
      `PRECONDITION_FAILED - inequivalent arg 'x-message-ttl' for queue '${queue}' in vhost '/': received the value '70000' of type 'signedint' but current is none`);
  });

  test('exclusive queue of another connection', async (t) => {
    const queue = await queueFor(await channelFor(t));
    const other = await amqp.connect(ADDRESS);
    t.after(() => other.close());
    const channel = await channelFor(t, false, other);
    await refuses(channel.checkQueue(queue), 405, `RESOURCE_LOCKED - cannot obtain exclusive access to locked queue '${queue}' in vhost '/'`);
  });

  for (const [type, pattern, key, args, headers] of [
    ['direct', 'k', 'k'], ['fanout', '', 'any'], ['topic', 'a.*.#', 'a.b.c'],
    ['headers', '', '', { 'x-match': 'any', a: 1, b: 2 }, { b: 2 }],
  ]) {
    test(`${type} exchange`, async (t) => {
      const channel = await channelFor(t);
      const { exchange } = await channel.assertExchange(unique(), type, { autoDelete: true, durable: false });
      const queue = await queueFor(channel);
      await channel.bindQueue(queue, exchange, pattern, args);
      channel.publish(exchange, key, Buffer.from('x'), { headers });
      const message = await (await consume(channel, queue)).next();
      assert.equal(message.fields.exchange, exchange);
      assert.equal(message.fields.routingKey, key);
    });
  }

  test('exchange to exchange', async (t) => {
    const channel = await channelFor(t);
    const [source, destination] = [unique(), unique()];
    for (const name of [source, destination]) await channel.assertExchange(name, 'fanout', { durable: false });
    cleanUp(t, async (c) => { for (const name of [source, destination]) await c.deleteExchange(name); });
    await channel.bindExchange(destination, source, '');
    const queue = await queueFor(channel);
    await channel.bindQueue(queue, destination, '');
    channel.publish(source, '', Buffer.from('through'));
    assert.deepEqual(await (await consume(channel, queue)).bodies(1), ['through']);
    await channel.unbindExchange(destination, source, '');
  });

  test('alternate exchange', async (t) => {
    const channel = await channelFor(t, true);
    const [front, back] = [unique(), unique()];
    await channel.assertExchange(back, 'fanout', { durable: false });
    await channel.assertExchange(front, 'direct', { durable: false, alternateExchange: back });
    cleanUp(t, async (c) => { for (const name of [front, back]) await c.deleteExchange(name); });
    const queue = await queueFor(channel);
    await channel.bindQueue(queue, back, '');
    let returned = false;
    channel.on('return', () => { returned = true; });
    channel.publish(front, 'nowhere', Buffer.from('x'), { mandatory: true });
    await channel.waitForConfirms();
    assert.deepEqual(await (await consume(channel, queue)).bodies(1), ['x']);
    assert.equal(returned, false);
  });

  test('unknown exchange type closes the connection', async () => {
    const doomed = await amqp.connect(ADDRESS);
    const closed = once(doomed, 'error');
    const channel = await doomed.createChannel();
    channel.on('error', () => {});
    channel.assertExchange(unique(), 'x-nonsense-type').catch(() => {});
    const [error] = await closed;
    assert.equal(error.code, 503);
  });
});

describe('messages', () => {
  test('properties and headers of every kind', async (t) => {
    const channel = await channelFor(t);
    const queue = await queueFor(channel);
    const headers = {
      text: 'grüß', yes: true, no: false, small: 1, negative: -300, int: 70_000, long: 2 ** 40, double: 3.25, nothing: null,
      list: ['a', 1, { deep: [true] }], table: { inner: { innermost: 'x' } }, buffer: Buffer.from([0, 255]),
      stamp: { '!': 'timestamp', value: 1_700_000_000 }, decimal: { '!': 'decimal', value: { digits: 314, places: 2 } }, float: { '!': 'float', value: 0.5 },
    };
    const options = {
      contentType: 'text/plain', contentEncoding: 'identity', deliveryMode: 2, priority: 7, correlationId: 'c', replyTo: 'r',
      expiration: '60000', messageId: 'm', timestamp: 1_700_000_000, type: 't', userId: 'guest', appId: 'a',
    };
    channel.sendToQueue(queue, Buffer.from('x'), { ...options, headers });
    const { properties } = await (await consume(channel, queue)).next();
    for (const [name, value] of Object.entries(options)) assert.equal(properties[name], value, name);
    assert.deepEqual(Object.keys(properties.headers), Object.keys(headers));
    assert.deepEqual(properties.headers, { ...headers, float: 0.5 });
  });

  test('empty and large bodies', async (t) => {
    const channel = await channelFor(t);
    const queue = await queueFor(channel);
    const large = Buffer.alloc(3_000_000, 'xyz');
    for (const body of [Buffer.alloc(0), large, Buffer.from('last')]) channel.sendToQueue(queue, body);
    const inbox = await consume(channel, queue);
    assert.equal((await inbox.next()).content.length, 0);
    assert.deepEqual((await inbox.next()).content, large);
    assert.equal((await inbox.next()).content.toString(), 'last');
  });

  test('confirm channel', async (t) => {
    const channel = await channelFor(t, true);
    const queue = await queueFor(channel, {}, { durable: true });
    let confirmed = 0;
    for (let i = 0; i < 500; i++) channel.sendToQueue(queue, Buffer.from(String(i)), { persistent: true }, (error) => { assert.equal(error, null); confirmed++; });
    await channel.waitForConfirms();
    assert.equal(confirmed, 500);
    assert.equal((await channel.checkQueue(queue)).messageCount, 500);
  });

  test('confirm channel is told of a refusal', async (t) => {
    const channel = await channelFor(t, true);
    const queue = await queueFor(channel, {}, { maxLength: 1, overflow: 'reject-publish' });
    const send = () => new Promise((resolve, reject) => channel.sendToQueue(queue, Buffer.from('x'), {}, (error) => (error ? reject(error) : resolve())));
    await send();
    await assert.rejects(send(), /nacked/);
  });

  test('mandatory message is returned before its confirm', async (t) => {
    const channel = await channelFor(t, true);
    const events = [];
    channel.on('return', (message) => events.push(['return', message.fields.replyCode, message.fields.replyText, message.content.toString()]));
    channel.publish('', unique(), Buffer.from('lost'), { mandatory: true }, () => events.push(['confirm']));
    await channel.waitForConfirms();
    assert.deepEqual(events, [['return', 312, 'NO_ROUTE', 'lost'], ['confirm']]);
  });

  test('get and get-empty', async (t) => {
    const channel = await channelFor(t, true);
    const queue = await queueFor(channel);
    assert.equal(await channel.get(queue), false);
    for (const body of ['1', '2']) channel.sendToQueue(queue, Buffer.from(body));
    await channel.waitForConfirms();
    const message = await channel.get(queue);
    assert.equal(message.fields.messageCount, 1);
    channel.ack(message);
  });

  test('prefetch, ack all, nack in place', async (t) => {
    const channel = await channelFor(t);
    const queue = await queueFor(channel);
    for (let i = 0; i < 6; i++) channel.sendToQueue(queue, Buffer.from(String(i)));
    await channel.prefetch(2);
    const inbox = await consume(channel, queue, { noAck: false });
    const [first, second] = [await inbox.next(), await inbox.next()];
    await wait(150);
    assert.equal(inbox.messages.length, 0);
    channel.nack(first);
    const again = await inbox.next();
    assert.equal(again.content.toString(), '0');
    assert.equal(again.fields.redelivered, true);
    channel.reject(second, false);
    assert.equal((await inbox.next()).content.toString(), '2');
    channel.ackAll();
    assert.deepEqual(await inbox.bodies(2), ['3', '4']);
  });

  test('recover', async (t) => {
    const channel = await channelFor(t, true);
    const queue = await queueFor(channel);
    channel.sendToQueue(queue, Buffer.from('x'));
    await channel.waitForConfirms();
    await channel.get(queue);
    await channel.recover();
    assert.equal((await channel.get(queue, { noAck: true })).fields.redelivered, true);
  });

  test('cancel by the server', async (t) => {
    const [channel, other] = [await channelFor(t), await channelFor(t)];
    const queue = await queueFor(channel);
    const inbox = await consume(channel, queue);
    await other.deleteQueue(queue);
    assert.equal(await inbox.next(), null);
  });

  test('cancel by the client', async (t) => {
    const channel = await channelFor(t, true);
    const queue = await queueFor(channel);
    const inbox = await consume(channel, queue);
    await channel.cancel(inbox.tag);
    channel.sendToQueue(queue, Buffer.from('x'));
    await channel.waitForConfirms();
    assert.equal((await channel.checkQueue(queue)).messageCount, 1);
  });

  test('consumer priority', async (t) => {
    const channel = await channelFor(t);
    const queue = await queueFor(channel);
    const low = await consume(channel, queue, { noAck: true });
    const high = await consume(channel, queue, { noAck: true, priority: 5 });
    channel.sendToQueue(queue, Buffer.from('x'));
    await high.next();
    assert.equal(low.messages.length, 0);
  });

  test('message priority', async (t) => {
    const channel = await channelFor(t, true);
    const queue = await queueFor(channel, {}, { maxPriority: 5 });
    for (const priority of [1, 5, 3]) channel.sendToQueue(queue, Buffer.from(String(priority)), { priority });
    await channel.waitForConfirms();
    assert.deepEqual(await (await consume(channel, queue)).bodies(3), ['5', '3', '1']);
  });

  test('CC and BCC', async (t) => {
    const channel = await channelFor(t);
    const [to, cc, bcc] = [await queueFor(channel), await queueFor(channel), await queueFor(channel)];
    channel.sendToQueue(to, Buffer.from('x'), { CC: cc, BCC: [bcc] });
    for (const queue of [to, cc, bcc]) {
      const { properties } = await (await consume(channel, queue)).next();
      assert.deepEqual(properties.headers.CC, [cc]);
      assert.equal(properties.headers.BCC, undefined);
    }
  });

  test('dead letters', async (t) => {
    const channel = await channelFor(t);
    const dead = await queueFor(channel);
    const queue = await queueFor(channel, {}, { deadLetterExchange: '', deadLetterRoutingKey: dead, messageTtl: 50 });
    channel.sendToQueue(queue, Buffer.from('old'));
    const { properties: { headers } } = await (await consume(channel, dead)).next();
    assert.equal(headers['x-first-death-reason'], 'expired');
    const [death] = headers['x-death'];
    assert.deepEqual([death.count, death.reason, death.queue, death.exchange, death['routing-keys']], [1, 'expired', queue, '', [queue]]);
    assert.equal(death.time['!'], 'timestamp');
  });

  test('requests and replies', async (t) => {
    const [client, server] = [await channelFor(t), await channelFor(t)];
    const queue = await queueFor(server);
    await server.consume(queue, (request) => {
      server.sendToQueue(request.properties.replyTo, Buffer.from(`re: ${request.content}`), { correlationId: request.properties.correlationId });
    }, { noAck: true });
    const replies = await consume(client, 'amq.rabbitmq.reply-to');
    for (let i = 0; i < 20; i++) client.sendToQueue(queue, Buffer.from(String(i)), { replyTo: 'amq.rabbitmq.reply-to', correlationId: String(i) });
    for (let i = 0; i < 20; i++) {
      const reply = await replies.next();
      assert.equal(reply.content.toString(), `re: ${i}`);
      assert.equal(reply.properties.correlationId, String(i));
    }
  });

  test('double acknowledgement closes the channel', async (t) => {
    const channel = await channelFor(t);
    const queue = await queueFor(channel);
    channel.sendToQueue(queue, Buffer.from('x'));
    const message = await (await consume(channel, queue, { noAck: false })).next();
    channel.ack(message);
    channel.ack(message);
    const error = await channel.failed;
    assert.equal(error.code, 406);
    assert.match(error.message, /PRECONDITION_FAILED - unknown delivery tag 1/);
  });

  test('quorum queue', async (t) => {
    const channel = await channelFor(t, true);
    const { queue } = await channel.assertQueue(unique(), { durable: true, arguments: { 'x-queue-type': 'quorum' } });
    cleanUp(t, (c) => c.deleteQueue(queue));
    channel.sendToQueue(queue, Buffer.from('x'));
    await channel.waitForConfirms();
    const inbox = await consume(channel, queue, { noAck: false });
    channel.reject(await inbox.next(), true);
    const again = await inbox.next();
    assert.equal(again.properties.headers['x-delivery-count'], 1);
    channel.ack(again);
  });

  test('order of 20,000 messages', async (t) => {
    const channel = await channelFor(t);
    const queue = await queueFor(channel);
    const inbox = await consume(channel, queue);
    const publisher = await channelFor(t, true);
    for (let i = 0; i < 20_000; i++)
      if (!publisher.sendToQueue(queue, Buffer.from(String(i)))) await once(publisher, 'drain');
    assert.deepEqual(await inbox.bodies(20_000), Array.from({ length: 20_000 }, (_, i) => String(i)));
  });
});
