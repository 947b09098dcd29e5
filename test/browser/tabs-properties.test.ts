import t from 'tap'
import fc from '../support/properties.ts'
import { type Fate, issuerUrl, type Tab, World } from './world.ts'

/** An honest browser is never signed out, in any order of tabs, lost requests and time. */

const me = `${issuerUrl}/me`
const tabsMax = 5

type Step =
  | { readonly do: 'fetch'; readonly tab: number }
  | { readonly do: 'freeze' | 'thaw' | 'wake' | 'reload'; readonly tab: number }
  // Killed so long after a request, of which the answers are lost.
  | { readonly do: 'kill'; readonly tab: number; readonly ms: number }
  | { readonly do: 'network'; readonly fates: readonly Fate[] }
  | { readonly do: 'pass'; readonly ms: number }

const tab = fc.nat(tabsMax - 1)
const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 6, arbitrary: fc.record({ do: fc.constant('fetch' as const), tab }) },
  {
    weight: 2,
    arbitrary: fc.record({
      do: fc.constantFrom('freeze', 'thaw', 'wake', 'reload' as const),
      tab,
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      do: fc.constant('kill' as const),
      tab,
      ms: fc.constantFrom(0, 10, 30, 500, 3_000),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      do: fc.constant('network' as const),
      fates: fc.array(fc.constantFrom<Fate>('fine', 'request lost', 'answer lost', 'copied'), {
        minLength: 1,
        maxLength: 6,
      }),
    }),
  },
  {
    weight: 4,
    arbitrary: fc.record({
      do: fc.constant('pass' as const),
      ms: fc.constantFrom(1, 30, 300, 2_000, 5_000, 11_000, 100_000, 86_400_000),
    }),
  },
) as fc.Arbitrary<Step>

function take(world: World, tabs: Map<number, Tab>, step: Step): void {
  if (step.do === 'network') {
    const fates = [...step.fates]
    world.fate = () => fates.shift() ?? 'fine'
    return
  }
  if (step.do === 'pass') return
  const tab = tabs.get(step.tab) ?? world.open()
  tabs.set(step.tab, tab)
  if (step.do === 'freeze') tab.freeze()
  else if (step.do === 'thaw') tab.thaw()
  else if (step.do === 'wake') tab.wake(true)
  else if (step.do === 'fetch') tab.client.fetch(me).catch(() => {})
  else if (step.do === 'reload') {
    tab.kill()
    tabs.delete(step.tab)
    take(world, tabs, { do: 'fetch', tab: step.tab })
  } else if (step.do === 'kill') {
    world.fate = () => 'answer lost'
    tab.client.fetch(me).catch(() => {})
    tabs.delete(step.tab)
    world.after(step.ms, () => {
      tab.kill()
      world.fate = () => 'fine'
    })
  }
}

async function live(steps: readonly Step[], graceMs: number, accessTtl_s: number) {
  const world = new World(graceMs)
  world.issuer.accessTtl_s = accessTtl_s
  const tabs = new Map([[0, world.open()]])
  await world.until(world.open().client.login({ username: 'ada', password: 'right' }))
  for (const step of steps) {
    take(world, tabs, step)
    await world.advance(step.do === 'pass' ? step.ms : 1)
  }
  world.fate = () => 'fine'
  for (const tab of tabs.values()) tab.thaw()
  await world.advance(120_000)
  const bad = world.issuer.log.filter((line) => !/^(login|refresh (rotated|replayed))/.test(line))
  const heard = [...world.tabs].flatMap((tab) => tab.heard)
  const last = await world.until(world.open().client.fetch(me))
  return { bad, signedOut: heard.includes('signed-out'), status: last.status }
}

t.test('no honest browser is signed out', async (t) => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(step, { minLength: 5, maxLength: 40 }),
      fc.constantFrom(2, 10, 300),
      async (steps, accessTtl_s) => {
        const found = await live(steps, 10_000, accessTtl_s)
        t.strictSame(found, { bad: [], signedOut: false, status: 200 })
        return found.bad.length === 0 && !found.signedOut && found.status === 200
      },
    ),
    { numRuns: 60 },
  )
})
