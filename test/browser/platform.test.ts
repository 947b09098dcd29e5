import t, { type Test } from 'tap'
import { browser } from '../../src/browser/platform.ts'
import { until } from '../support/until.ts'

/** Node has two features of a browser: Web Locks and BroadcastChannel. It has no page and no storage. */

t.test('work under a lock runs one after the other', async (t) => {
  const seen: string[] = []
  const work = (name: string) => async () => {
    seen.push(`${name} begins`)
    await browser.pause(5)
    seen.push(`${name} ends`)
    return name
  }
  const both = [
    browser.withLock('turns', 1_000, work('a')),
    browser.withLock('turns', 1_000, work('b')),
  ]
  t.same(await Promise.all(both), ['a', 'b'])
  t.same(seen, ['a begins', 'a ends', 'b begins', 'b ends'])
})

t.test('a stuck tab loses its lock after a while and still gets its result', async (t) => {
  // The timer of an AbortSignal keeps no process alive.
  const timer = setInterval(() => {}, 1_000)
  t.teardown(() => clearInterval(timer))
  let finish = (_result: string) => {}
  const stuck = browser.withLock(
    'stuck',
    1_000,
    () =>
      new Promise<string>((resolve) => {
        finish = resolve
      }),
  )
  t.equal(await browser.withLock('stuck', 20, async () => 'next'), 'next')
  t.equal(await browser.withLock('stuck', 1_000, async () => 'last'), 'last', 'nobody waits again')
  finish('late')
  t.equal(await stuck, 'late')
})

t.test('failed work releases the lock', async (t) => {
  const failing = browser.withLock('failing', 1_000, async () => {
    throw new Error('no')
  })
  await t.rejects(failing, { message: 'no' })
  t.equal(await browser.withLock('failing', 1_000, async () => 1), 1)
})

t.test(
  'without storage an item is kept in memory, and where storage is forbidden or full',
  async (t) => {
    const forbidden = () => {
      throw new Error('not here')
    }
    const full = { getItem: () => null, setItem: forbidden, removeItem: forbidden }
    const closed = { getItem: forbidden, setItem: forbidden, removeItem: forbidden }
    t.teardown(() => Reflect.deleteProperty(globalThis, 'localStorage'))
    for (const value of [undefined, full, closed]) {
      Object.defineProperty(globalThis, 'localStorage', { value, configurable: true })
      const item = browser.item('an item')
      t.equal(item.get(), null)
      item.set('a text')
      t.equal(item.get(), 'a text')
      item.set(null)
      t.equal(item.get(), null)
    }
  },
)

/** Gives the program an address, as a page has. */
function givePage(t: Test): void {
  Object.assign(globalThis, { location: new URL('https://shop.example/') })
  t.teardown(() => Reflect.deleteProperty(globalThis, 'location'))
}

t.test("channels of one name receive each other's messages", async (t) => {
  givePage(t)
  const heard: unknown[] = []
  const one = browser.channel('name', (message) => heard.push(['one', message]))
  const two = browser.channel('name', (message) => heard.push(['two', message]))
  one.post({ a: 1 })
  await until('it arrives', () => heard.length > 0)
  t.same(heard, [['two', { a: 1 }]])
  two.close()
  one.close()
})

t.test('a closed channel receives nothing and still sends', async (t) => {
  givePage(t)
  const heard: unknown[] = []
  const closed = browser.channel('closed', (message) => heard.push(['closed', message]))
  const open = browser.channel('closed', (message) => heard.push(['open', message]))
  closed.close()
  open.post(1)
  closed.post(2)
  await until('it arrives', () => heard.length > 0)
  t.same(heard, [['open', 2]])
  open.close()
})

t.test('a page without channels, or that may not open one, sends to nobody', async (t) => {
  givePage(t)
  const original = globalThis.BroadcastChannel
  t.teardown(() => Object.assign(globalThis, { BroadcastChannel: original }))
  class Forbidden {
    constructor() {
      throw new DOMException('The operation is insecure.', 'SecurityError')
    }
  }
  for (const BroadcastChannel of [undefined, Forbidden]) {
    Object.assign(globalThis, { BroadcastChannel })
    const channel = browser.channel('name', () => {})
    channel.post(1)
    channel.close()
  }
})

t.test(
  'a page that comes online wakes the client, until it does not listen any more',
  async (t) => {
    const page = new EventTarget()
    const document = { hidden: false }
    const globals = {
      document,
      // Node removes no listener by a boolean.
      addEventListener: (name: string, listener: () => void, capture: boolean) =>
        page.addEventListener(name, listener, { capture }),
      removeEventListener: (name: string, listener: () => void, capture: boolean) =>
        page.removeEventListener(name, listener, { capture }),
    }
    Object.assign(globalThis, globals)
    t.teardown(() => {
      for (const name of Object.keys(globals)) Reflect.deleteProperty(globalThis, name)
    })
    const woken: boolean[] = []
    const stop = browser.onWake((wasAway) => woken.push(wasAway))
    page.dispatchEvent(new Event('online'))
    document.hidden = true
    page.dispatchEvent(new Event('online'))
    document.hidden = false
    page.dispatchEvent(Object.assign(new Event('pageshow'), { persisted: true }))
    stop()
    page.dispatchEvent(new Event('online'))
    t.same(woken, [false, true])
  },
)

t.test('a server that renders pages opens no channel and listens to no events', async (t) => {
  const original = globalThis.BroadcastChannel
  t.teardown(() => Object.assign(globalThis, { BroadcastChannel: original }))
  let opened = 0
  class Counted {
    constructor() {
      opened += 1
    }
  }
  Object.assign(globalThis, { BroadcastChannel: Counted })
  browser.channel('name', () => {}).post(1)
  t.equal(opened, 0, 'Node never frees a channel, not even a closed one')

  const addEventListener = () => {
    // As workerd answers.
    throw new TypeError('addEventListener(): options.capture must be false.')
  }
  Object.assign(globalThis, { addEventListener })
  t.teardown(() => Reflect.deleteProperty(globalThis, 'addEventListener'))
  browser.onWake(() => {})()
})
