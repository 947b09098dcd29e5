import type { Page } from 'playwright-core'
import t from 'tap'
import { read, startPlayground, textOf } from './playground.ts'

/** What goes wrong in the field, made to happen by a press of a button. */

const playground = await startPlayground(t)

/** Runs one to its end, and gives what it has told, step by step. */
async function run(page: Page, drill: string): Promise<readonly string[]> {
  await page.locator(`#run-${drill}`).press('Enter')
  await page.locator(`#${drill}-steps[data-result]`).waitFor()
  return page.locator(`#${drill}-steps li`).allTextContents()
}

const result = (page: Page, drill: string) =>
  page.locator(`#${drill}-steps`).getAttribute('data-result')

t.test(
  'a stolen refresh token is found out, and no replica takes the session any more',
  async (t) => {
    const page = await playground.openSignedIn(t)
    const steps = (await run(page, 'replay')).join('\n')
    t.match(steps, /generation 2 takes the place/)
    t.match(steps, /Refused: refresh_token_reused/)
    t.match(steps, /\d ms later no replica takes the access token/)
    t.equal(await result(page, 'replay'), 'good')
    await textOf(page, '#events', /refresh\.reused/)
    t.equal(await read(page, '#user-name'), 'demo', 'it was the session of another device')
  },
)

t.test('five refreshes at once with one cookie have one successor', async (t) => {
  const page = await playground.openSignedIn(t)
  const steps = (await run(page, 'tabs')).join('\n')
  t.match(steps, /5 of 5 got an answer/)
  t.match(steps, /The issuer says: 1 rotated, 4 replayed/)
  t.match(steps, /Generation 0 has one successor: 1/)
  t.match(steps, /Five tabs, requests sent: 1/)
  t.equal(await result(page, 'tabs'), 'good')
  await textOf(page, '#generation', /^1$/)
  t.match(await textOf(page, '#repeats', /^[4-9]$/), /\d/)
})

t.test('new keys: published, then signing, and no request fails', async (t) => {
  const page = await playground.openSignedIn(t)
  const before = await read(page, '#key-of-token')
  await run(page, 'keys')
  t.equal(await result(page, 'keys'), 'good')
  await textOf(page, '#keys', /active.*/)
  t.not(await textOf(page, '#key-of-token'), before)
  t.equal(await read(page, '#failures'), '0')
})

t.test('a sign-out by another device is noticed by this tab and by the next', async (t) => {
  const page = await playground.openSignedIn(t)
  const other = await page.context().newPage()
  await other.goto(playground.url)
  await other.locator('#dashboard').waitFor()
  await page.locator('#run-elsewhere').click()
  t.match(await textOf(page, '#farewell'), /another tab or device.* after \d+ ms/)
  t.match(await textOf(other, '#farewell'), /another tab or device/)
  t.equal(await other.locator('#dashboard').isVisible(), false)
})

t.test('who does not give the password a second time has no second device', async (t) => {
  const page = await playground.openSignedIn(t)
  await page.reload()
  await page.locator('#run-replay').click()
  await page.getByRole('dialog').getByRole('button', { name: 'Cancel' }).click()
  await textOf(page, '#replay-steps', /Without the password/)
})

t.test('nothing was complained about', async (t) => {
  t.same(playground.complaints, [])
})
