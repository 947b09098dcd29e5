import { nginx } from './nginx.ts'
import { testForwardAuth } from './suite.ts'

testForwardAuth('nginx', nginx)
