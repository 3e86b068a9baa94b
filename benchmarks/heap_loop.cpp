// The event loop that the engine is measured against: a binary heap of (time, task), servers that
// run one task at a time in order of arrival, and what happens at one instant in order of number.
#include <algorithm>
#include <cstdint>
#include <functional>
#include <queue>
#include <utility>
#include <vector>

extern "C" int64_t play(int32_t tasks, int32_t servers, const int64_t *duration,
                        const int32_t *server, const int32_t *begins, const int32_t *successors,
                        int32_t *pending, int64_t *start) {
  using Event = std::pair<int64_t, int32_t>;
  std::priority_queue<Event, std::vector<Event>, std::greater<Event>> events;
  std::vector<std::vector<int32_t>> queues(servers);
  std::vector<size_t> first(servers, 0);
  std::vector<char> busy(servers, 0);
  std::vector<int32_t> ready, touched;
  for (int32_t task = 0; task < tasks; task++)
    if (pending[task] == 0) ready.push_back(task);
  int64_t now = 0;
  while (true) {
    std::sort(ready.begin(), ready.end());
    for (int32_t task : ready) {
      queues[server[task]].push_back(task);
      touched.push_back(server[task]);
    }
    ready.clear();
    for (int32_t s : touched)
      if (!busy[s] && first[s] < queues[s].size()) {
        int32_t task = queues[s][first[s]++];
        busy[s] = 1;
        start[task] = now;
        events.push({now + duration[task], task});
      }
    touched.clear();
    if (events.empty()) return now;
    now = events.top().first;
    while (!events.empty() && events.top().first == now) {
      int32_t task = events.top().second;
      events.pop();
      busy[server[task]] = 0;
      touched.push_back(server[task]);
      for (int32_t at = begins[task]; at < begins[task + 1]; at++)
        if (--pending[successors[at]] == 0) ready.push_back(successors[at]);
    }
  }
}
