/** The client page: talk to any WebSocket server by hand. */

import type { JSX } from "preact";
import { selected } from "./client_state";
import { ConnectBar } from "./connect_bar";
import { FrameDetail } from "./frame_detail";
import { FrameList } from "./frame_list";
import { LogBar, LogTotals } from "./log_bar";
import { MessageComposer } from "./message_composer";

export function Client(): JSX.Element {
  const frame = selected.value;
  return (
    <div class={frame ? "client fills with-detail" : "client fills"}>
      <ConnectBar />
      <div class="client-middle">
        <LogBar />
        <FrameList />
        <LogTotals />
      </div>
      {frame && <FrameDetail key={frame.id} frame={frame} />}
      <MessageComposer />
    </div>
  );
}
