/** Programs to paste: they run as they stand against this hub. */

export const PROGRAMS = ["javascript", "python", "curl"] as const;
export type Program = (typeof PROGRAMS)[number];

export const PROGRAM_NAMES: Record<Program, string> = { javascript: "JavaScript", python: "Python", curl: "curl" };

export interface Addresses {
  readonly socket: string;
  readonly sdk: string;
  readonly publish: string;
}

const CHANNEL = "chat/lobby";

export function snippet(program: Program, { socket, sdk, publish }: Addresses): string {
  switch (program) {
    case "javascript":
      return `<script src="${sdk}"></script>
<script>
  const client = chappe.connect("${socket}");
  const room = client.subscribe("${CHANNEL}", { since: "latest" });
  room.on("publication", (publication) => console.log(publication.data));
  client.publish("${CHANNEL}", "hello from JavaScript");
</script>`;
    case "python":
      return `import asyncio
import chappe

async def main():
    async with chappe.connect("${socket}") as client:
        async with client.subscribe("${CHANNEL}", since="latest") as room:
            await client.publish("${CHANNEL}", "hello from Python")
            async for publication in room:
                print(publication.data)

asyncio.run(main())`;
    case "curl":
      return `curl ${publish} \\
  --json '{"channel": "${CHANNEL}", "data": "hello from curl"}'`;
  }
}
