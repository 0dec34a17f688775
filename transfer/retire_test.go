package transfer

import (
	"context"
	"fmt"
	"testing"
)

// A file that stays open and is synced again and again takes no more room each time.
func TestSyncsOfAnOpenFileLeaveNothing(t *testing.T) {
	writeSim(t, 1<<30, func(t *testing.T, g *writeRig) {
		f := g.create("log")
		var want []byte
		for i := range 50 {
			line := fmt.Appendf(nil, "line %d\n", i)
			g.write(f, line, int64(len(want)))
			want = append(want, line...)
			check(t, f.Sync(context.Background()))
			g.reads(f, want)
		}
		ids, err := g.journal.Spool.IDs()
		f.mu.Lock()
		retired := len(f.retired)
		f.mu.Unlock()
		g.engine.mu.Lock()
		local := len(g.engine.local)
		g.engine.mu.Unlock()
		if len(ids) > 2 || err != nil || retired > 2 || local > 1 {
			t.Errorf("%d spool files, %d former versions, %d local copies, %v", len(ids), retired, local, err)
		}
		g.closeFile(f)
		g.wait()
		g.has("log", want)
		g.idle()
	})
}
