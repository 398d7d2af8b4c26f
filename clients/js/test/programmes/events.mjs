// Reads a stream of events with the npm package `eventsource`, over its own reconnections, and prints the data of each:
//   node events.mjs URL
import { EventSource } from "eventsource";

new EventSource(process.argv[2]).addEventListener("message", ({ data }) => console.log(data));
