import t from 'tap'
import { parseCpuList } from '../../bench/old/harness/cores.ts'

t.test('reads the lists of cores that the kernel writes', async (t) => {
  t.same(parseCpuList('0'), [0])
  t.same(parseCpuList('0-1'), [0, 1])
  t.same(parseCpuList('0-2,5,8-9'), [0, 1, 2, 5, 8, 9])
  t.same(parseCpuList(''), [])
})
