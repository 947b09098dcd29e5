import { setImmediate as turn } from 'node:timers/promises'
import t from 'tap'
import { Batcher } from '../../src/stores/batcher.ts'

function batcherOf(limits = {}) {
  const sent: string[][] = []
  const send = async (items: readonly string[]) => {
    sent.push([...items])
    if (items.includes('all fail')) throw new Error('no answer')
    return items.map((item) => (item === 'bad' ? new Error('this one') : item.toUpperCase()))
  }
  return { sent, batcher: new Batcher(send, { maxItems: 3, maxWeight: 10, ...limits }) }
}

t.test('items of one turn are one batch, and each has its own result', async (t) => {
  const { sent, batcher } = batcherOf()
  t.same(await Promise.all([batcher.add('a', 1), batcher.add('b', 1)]), ['A', 'B'])
  t.equal(await batcher.add('c', 1), 'C')
  t.same(sent, [['a', 'b'], ['c']])
})

t.test('a full batch is sent, and the rest follows', async (t) => {
  const { sent, batcher } = batcherOf()
  const answers = ['a', 'b', 'c', 'd'].map((item) => batcher.add(item, 1))
  t.same(sent, [['a', 'b', 'c']])
  t.same(await Promise.all(answers), ['A', 'B', 'C', 'D'])
  t.same(sent, [['a', 'b', 'c'], ['d']])
})

t.test('an item that exceeds the weight starts another batch', async (t) => {
  const { sent, batcher } = batcherOf()
  await Promise.all([batcher.add('a', 6), batcher.add('b', 5), batcher.add('c', 500)])
  t.same(sent, [['a'], ['b'], ['c']])
})

t.test('with one item per batch, no item waits', async (t) => {
  const { sent, batcher } = batcherOf({ maxItems: 1 })
  batcher.add('a', 1)
  batcher.add('b', 1)
  t.same(sent, [['a'], ['b']])
  await turn()
  t.equal(sent.length, 2)
})

t.test('an error of one item does not affect others', async (t) => {
  const { batcher } = batcherOf()
  const [good, bad] = [batcher.add('a', 1), batcher.add('bad', 1)]
  await t.rejects(bad, { message: 'this one' })
  t.equal(await good, 'A')
})

t.test('a failed call fails all its items', async (t) => {
  const { batcher } = batcherOf()
  const both = [batcher.add('a', 1), batcher.add('all fail', 1)]
  for (const one of both) await t.rejects(one, { message: 'no answer' })
  t.equal(await batcher.add('b', 1), 'B')
})

t.test('items that arrive during a call are sent together after it', async (t) => {
  const sent: string[][] = []
  const calls: (() => void)[] = []
  const send = async (items: readonly string[]) => {
    sent.push([...items])
    await new Promise<void>((resolve) => calls.push(resolve))
    if (items.includes('all fail')) throw new Error('no answer')
    return items
  }
  const limits = { maxItems: 3, maxWeight: 10, maxHoldMs: 3_600_000 }
  const batcher = new Batcher(send, limits)
  const first = batcher.add('all fail', 1)
  await turn()
  const held = [batcher.add('a', 1), batcher.add('b', 1)]
  await turn()
  t.same(sent, [['all fail']])
  calls[0]?.()
  await t.rejects(first, { message: 'no answer' })
  t.same(sent, [['all fail'], ['a', 'b']])

  const full = ['c', 'd', 'e'].map((item) => batcher.add(item, 1))
  t.same(sent.at(-1), ['c', 'd', 'e'], 'a full batch is not held')
  calls[1]?.()
  calls[2]?.()
  t.same(await Promise.all([...held, ...full]), ['a', 'b', 'c', 'd', 'e'])
  const last = batcher.add('f', 1)
  await turn()
  t.same(sent.at(-1), ['f'], 'nothing is in progress')
  calls[3]?.()
  t.equal(await last, 'f')
})

t.test('a call that hangs does not hold items for long', async (t) => {
  const sent: string[][] = []
  const send = async (items: readonly string[]) => {
    sent.push([...items])
    if (items.includes('hangs')) await new Promise(() => {})
    return items
  }
  const batcher = new Batcher(send, { maxItems: 3, maxWeight: 10, maxHoldMs: 5 })
  void batcher.add('hangs', 1)
  await turn()
  t.equal(await batcher.add('a', 1), 'a')
  t.same(sent, [['hangs'], ['a']])
})
