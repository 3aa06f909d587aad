#pragma once

#include <list>

namespace metamcp {

// Stands in a list of pointers while it lives. The list must outlive it; one thread.
template <typename T>
class Listed {
 public:
  Listed(std::list<T*>& list, T* one) : list_(list), at_(list.insert(list.end(), one)) {}
  Listed(const Listed&) = delete;
  Listed& operator=(const Listed&) = delete;
  ~Listed() { list_.erase(at_); }

 private:
  std::list<T*>& list_;
  const typename std::list<T*>::iterator at_;
};

}  // namespace metamcp
